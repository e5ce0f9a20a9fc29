package ociregistry

import "net/http"

// getHealth serves / and /healthz. Pruning clients probe these to detect a registry.
func (x *exchange) getHealth() error {
	x.w.Header().Set("Cache-Control", "no-cache")
	x.w.Header().Set("Content-Length", "0")
	x.w.WriteHeader(http.StatusOK)
	return nil
}

// getVersion serves /v2/. Status 200 is the whole answer: clients use this endpoint to discover
// how to log in.
func (x *exchange) getVersion() error {
	x.writeJSON("application/json", []byte("{}"))
	return nil
}

// serveToken serves the token endpoint through Access, which issues the tokens.
func (x *exchange) serveToken() error {
	x.Access.ServeToken(&x.w, x.r)
	return nil
}
