package ociregistry

import (
	"bytes"
	"net/http"
	"strings"
)

// What clients and proxies may keep. Content under a digest never changes; whether one
// may read it does, so only the client itself keeps it. What a tag leads to is asked anew.
var (
	cacheForever  = []string{"private, max-age=31536000, immutable"}
	cacheRevision = []string{"no-cache"}
	acceptBytes   = []string{"bytes"}
	octetStream   = []string{"application/octet-stream"}
)

// getManifest serves GET and HEAD of a manifest, by tag and by digest.
//
// The Accept header is not looked at. The specification lets a registry answer with what
// it has; a client that is told of the type can refuse it, one that is told 404 believes
// that there is nothing. The reference hides OCI manifests from clients that do not ask
// for them, and converts schema 2 to schema 1 and lists to their linux/amd64 image for
// clients older than either. Such clients are gone, and what they would get has another
// digest than what was asked for.
func (x *exchange) getManifest() error {
	m, err := x.wantedManifest()
	if err != nil {
		return err
	}
	return x.sendManifest(m)
}

// sendManifest answers with a manifest, or with its headers.
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

// wantedManifest is the manifest that the path names.
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
