package ociregistry

import (
	"errors"
	"fmt"
	"net/http"

	"weir.dev/weir/internal/blobstore"
)

// deleteBlob serves DELETE of a blob in a repository: it removes the link and keeps the data.
// The blob is unknown there until it is pushed again, even if a manifest names it.
func (x *exchange) deleteBlob() error {
	d, err := x.digest()
	if err != nil {
		return err
	}
	s, err := x.Directory.Stream(x.context(), x.repo, false)
	if err != nil {
		return err
	}
	if s.Repository().Owner() == "" {
		return blobUnknown(d)
	}
	err = x.Store.UnlinkBlob(x.context(), s.Repository(), d)
	switch {
	case errors.Is(err, blobstore.ErrUnknown):
		return blobUnknown(d)
	case err != nil:
		return fmt.Errorf("unlinking blob %s in %s: %w", d, x.repo, err)
	}
	x.Directory.Released(s.Repository())
	return x.accepted()
}

// deleteStoredBlob serves DELETE /admin/blobs/<digest>: it removes the data, even if
// repositories have links to it. Deleting absent data succeeds, since pruners delete every
// blob on their list.
func (x *exchange) deleteStoredBlob() error {
	d, err := x.digest()
	if err != nil {
		return err
	}
	x.manifests.Remove(d)
	if err := x.Store.Delete(x.context(), d); err != nil && !errors.Is(err, blobstore.ErrUnknown) {
		return fmt.Errorf("deleting blob %s from storage: %w", d, err)
	}
	x.manifests.Remove(d) // a request may have read it in between
	x.w.WriteHeader(http.StatusNoContent)
	return nil
}
