package ociregistry

import (
	"bytes"
	"net/http"
	"strings"
)

// Values of Cache-Control. Content under a digest never changes, but access to it does, so only
// the client may cache it. Tags must be revalidated.
var (
	cacheForever  = []string{"private, max-age=31536000, immutable"}
	cacheRevision = []string{"no-cache"}
	acceptBytes   = []string{"bytes"}
	octetStream   = []string{"application/octet-stream"}
)

// getManifest serves GET and HEAD of a manifest, by tag and by digest.
//
// It ignores the Accept header, as the specification permits. A client can reject a type that it
// does not support, but takes a 404 to mean that there is no manifest. The reference hides OCI
// manifests from clients that do not accept them, and converts schema 2 to schema 1 and lists
// to their linux/amd64 image for clients older than either. Such clients are gone, and the
// converted manifest has another digest than the requested one.
func (x *exchange) getManifest() error {
	m, err := x.wantedManifest()
	if err != nil {
		return err
	}
	return x.sendManifest(m)
}

// sendManifest sends a manifest, or only its headers for HEAD.
func (x *exchange) sendManifest(m *storedManifest) error {
	header := x.w.Header()
	header["Docker-Content-Digest"] = m.headerDigest
	header["Etag"] = m.headerTag
	header["Cache-Control"] = cacheForever
	if x.at.reference != m.headerDigest[0] {
		header["Cache-Control"] = cacheRevision
	}
	if conditions := x.r.Header["If-None-Match"]; conditions != nil && hasTag(conditions, m.headerDigest[0]) {
		x.w.WriteHeader(http.StatusNotModified)
		return nil
	}
	header["Content-Type"] = m.headerType
	header["Content-Length"] = m.headerLength
	x.w.WriteHeader(http.StatusOK)
	if x.isHead() {
		return nil
	}
	if len(m.content) > bufferBytes {
		return x.w.send(bytes.NewReader(m.content), int64(len(m.content)))
	}
	_, err := x.w.Write(m.content)
	return err
}

// wantedManifest returns the manifest that the path names.
func (x *exchange) wantedManifest() (*storedManifest, error) {
	if !strings.Contains(x.at.reference, ":") {
		return x.manifestByTag(x.context(), x.repo, x.at.reference)
	}
	d, err := x.digest()
	if err != nil {
		return nil, err
	}
	return x.manifestByDigest(x.context(), x.repo, d)
}
