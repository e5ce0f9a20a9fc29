package ociregistry

import (
	"errors"
	"fmt"
	"net/http"

	"weir.dev/weir/internal/blobstore"
)

// deleteBlob serves DELETE of a blob in a repository: its link goes, its data stays. As
// long as an image of the stream refers to it, it is still readable there.
func (x *exchange) deleteBlob() error {
	d, err := x.digest()
	if err != nil {
		return err
	}
	err = x.Store.UnlinkBlob(x.context(), x.repo.Key(), d)
	switch {
	case errors.Is(err, blobstore.ErrUnknown):
		return blobUnknown(d)
	case err != nil:
		return fmt.Errorf("unlinking blob %s in %s: %w", d, x.repo, err)
	}
	if isEmptyLayer(d) {
		// It stays readable wherever somebody pushed it, see blobStanding. For whoever
		// deleted it here it is to be gone all the same.
		x.goneLayers.saw(linkOf(x.repo, d))
	}
	return x.accepted()
}

// deleteStoredBlob serves DELETE /admin/blobs/<digest>: the data goes, whoever refers to
// it. That it is gone already is as good (the pruner asks for all it knows of).
func (x *exchange) deleteStoredBlob() error {
	d, err := x.digest()
	if err != nil {
		return err
	}
	x.manifests.drop(d)
	if err := x.Store.Delete(x.context(), d); err != nil && !errors.Is(err, blobstore.ErrUnknown) {
		return fmt.Errorf("deleting blob %s from storage: %w", d, err)
	}
	x.manifests.drop(d) // somebody may have read it in between
	x.w.WriteHeader(http.StatusNoContent)
	return nil
}
