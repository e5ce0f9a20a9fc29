package ociregistry

import "net/http"

// sayHealthy answers / and /healthz. Clients that prune look there whether a registry is
// one.
func (x *exchange) sayHealthy() error {
	x.w.Header().Set("Cache-Control", "no-cache")
	x.w.Header().Set("Content-Length", "0")
	x.w.WriteHeader(http.StatusOK)
	return nil
}

// sayVersion answers /v2/. That it was reached is the answer: clients come here to find
// out how to log in.
func (x *exchange) sayVersion() error {
	x.writeJSON("application/json", []byte("{}"))
	return nil
}

// serveToken leaves the token endpoint to Access, which issues the tokens.
func (x *exchange) serveToken() error {
	x.Access.ServeToken(&x.w, x.r)
	return nil
}
