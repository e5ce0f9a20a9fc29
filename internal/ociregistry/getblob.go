package ociregistry

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"

	digest "github.com/opencontainers/go-digest"

	"weir.dev/weir/internal/blobstore"
)

// getBlob serves GET and HEAD of a blob.
func (x *exchange) getBlob() error {
	d, err := x.digest()
	if err != nil {
		return err
	}
	if tags := x.r.Header["If-None-Match"]; tags != nil && hasTag(tags, d.String()) {
		return x.blobNotModified(d)
	}
	if x.isHead() {
		return x.headBlob(d)
	}
	blob, stored, err := x.openBlob(x.context(), x.repo, d)
	if isUnknown(err) {
		return x.manifestAsBlob(d, err)
	}
	if err != nil {
		return err
	}
	if stored && x.RedirectBlobs {
		if done, err := x.redirect(d); done || err != nil {
			return err
		}
	}
	return x.sendBlob(d, blob)
}

// manifestAsBlob serves a manifest from a blob URL, with its own media type: clients store
// content with the type of the response. unknown is the error if there is no such manifest
// either.
func (x *exchange) manifestAsBlob(d digest.Digest, unknown error) error {
	m, err := x.manifestByDigest(x.context(), x.repo, d)
	if isUnknown(err) {
		return unknown
	}
	if err != nil {
		return err
	}
	return x.sendManifest(m)
}

// blobNotModified serves a conditional request whose entity tag matches. Access to the blob is
// checked as for any other request.
func (x *exchange) blobNotModified(d digest.Digest) error {
	_, err := x.sizeOfBlob(x.context(), x.repo, d)
	if isUnknown(err) {
		return x.manifestAsBlob(d, err)
	}
	if err != nil {
		return err
	}
	x.identifyBlob(d)
	x.w.WriteHeader(http.StatusNotModified)
	return nil
}

// headBlob serves HEAD of a blob. Ranges are for GET only (RFC 9110 §14.2).
func (x *exchange) headBlob(d digest.Digest) error {
	size, err := x.sizeOfBlob(x.context(), x.repo, d)
	if isUnknown(err) {
		return x.manifestAsBlob(d, err)
	}
	if err != nil {
		return err
	}
	x.describeBlob(d, size)
	x.w.WriteHeader(http.StatusOK)
	return nil
}

// identifyBlob sets the headers that identify a blob.
func (x *exchange) identifyBlob(d digest.Digest) {
	header := x.w.Header()
	header["Etag"] = []string{entityTag(d)}
	header["Cache-Control"] = cacheForever
	header["Docker-Content-Digest"] = []string{d.String()}
}

// describeBlob sets the headers of a response with a blob or a range of it.
func (x *exchange) describeBlob(d digest.Digest, length int64) {
	x.identifyBlob(d)
	header := x.w.Header()
	header["Accept-Ranges"] = acceptBytes
	header["Content-Type"] = octetStream
	header["Content-Length"] = []string{strconv.FormatInt(length, 10)}
}

// redirect redirects the client to a URL of the storage, if the driver provides one.
func (x *exchange) redirect(d digest.Digest) (bool, error) {
	to, err := x.Store.RedirectURL(x.r, d)
	if err != nil {
		return false, fmt.Errorf("finding the storage's URL of blob %s: %w", d, err)
	}
	if to == "" {
		return false, nil
	}
	header := x.w.Header()
	header.Set("Location", to)
	header.Set("Docker-Content-Digest", d.String())
	header["Cache-Control"] = []string{"no-store"} // the URL is signed, and ends
	header["Content-Length"] = []string{"0"}
	x.w.WriteHeader(http.StatusTemporaryRedirect)
	return true, nil
}

// sendBlob sends a blob or the requested range of it. Once the header is sent, an error cuts
// the connection: a short body must not look complete.
func (x *exchange) sendBlob(d digest.Digest, blob Blob) error {
	part, partial := span{length: blob.Size}, false
	if asked := x.r.Header.Get("Range"); asked != "" && wantsPart(x.r, entityTag(d)) {
		var ok bool
		if part, partial, ok = parseRange(asked, blob.Size); !ok {
			x.w.Header().Set("Content-Range", fmt.Sprintf("bytes */%d", blob.Size))
			return &Error{
				Code: CodeSizeInvalid, Status: http.StatusRequestedRangeNotSatisfiable, Message: fmt.Sprintf("the blob has %d bytes", blob.Size),
				Detail: map[string]string{"range": asked},
			}
		}
	}
	content, err := blob.Open(x.context(), part.start)
	switch {
	case errors.Is(err, blobstore.ErrUnknown): // deleted since it was found
		return blobUnknown(d)
	case err != nil:
		return fmt.Errorf("opening blob %s of %s at %d: %w", d, x.repo, part.start, err)
	}
	defer content.Close()
	x.describeBlob(d, part.length)
	status := http.StatusOK
	if partial {
		status = http.StatusPartialContent
		x.w.Header().Set("Content-Range", part.contentRange(blob.Size))
	}
	x.w.WriteHeader(status)
	if err := x.w.send(content, part.length); err != nil {
		return fmt.Errorf("sending blob %s of %s: %w", d, x.repo, err)
	}
	return nil
}
