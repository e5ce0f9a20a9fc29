package ociregistry

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	digest "github.com/opencontainers/go-digest"

	"weir.dev/weir/internal/blobstore"
	"weir.dev/weir/internal/reference"
)

// deleteManifest serves DELETE of a tag and of a manifest.
func (x *exchange) deleteManifest() error {
	if !strings.Contains(x.at.reference, ":") {
		if !reference.ValidTag(x.at.reference) {
			return &Error{
				Code: CodeManifestUnknown, Message: "no tag has such a name",
				Detail: map[string]string{"tag": x.at.reference},
			}
		}
		if err := x.Directory.DeleteTag(x.context(), x.repo, x.at.reference); err != nil {
			return err
		}
		return x.accepted()
	}
	d, err := x.digest()
	if err != nil {
		return err
	}
	// What has begun is brought to its end, whether the client waits for it or not.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(x.context()), recordTimeout)
	defer cancel()
	if err := x.removeManifest(ctx, d); err != nil {
		return err
	}
	return x.accepted()
}

func (x *exchange) accepted() error {
	x.w.Header().Set("Content-Length", "0")
	x.w.WriteHeader(http.StatusAccepted)
	return nil
}

// removeManifest takes a digest out of the stream's history and out of the repository.
// Its content stays in the store: others may have it too. The stream comes first, so that
// a deletion that breaks off can be repeated.
func (x *exchange) removeManifest(ctx context.Context, d digest.Digest) error {
	subject := x.subjectOf(ctx, d)
	inHistory, err := x.Directory.DeleteManifest(ctx, x.repo, d)
	if err != nil && !isUnknown(err) {
		return err
	}
	unknown := err
	err = x.Store.UnlinkManifest(ctx, x.repo.Key(), d)
	linked := err == nil
	if err != nil && !errors.Is(err, blobstore.ErrUnknown) {
		return fmt.Errorf("unlinking manifest %s in %s: %w", d, x.repo, err)
	}
	if subject != "" {
		err := x.Store.RemoveReferrer(ctx, x.repo.Key(), subject, d)
		if err != nil && !errors.Is(err, blobstore.ErrUnknown) {
			return fmt.Errorf("noting that %s of %s no longer refers to %s: %w", d, x.repo, subject, err)
		}
	}
	switch {
	case inHistory || linked:
		return nil
	case unknown != nil:
		return unknown
	}
	return manifestUnknown(d)
}

// subjectOf is the subject of a manifest that is here, "" without one.
func (x *exchange) subjectOf(ctx context.Context, d digest.Digest) digest.Digest {
	m := x.manifests.get(d)
	if m == nil {
		content, err := x.Store.Read(ctx, d, maxStoredManifestBytes)
		if err != nil {
			return "" // what cannot be read was never noted
		}
		m = newStoredManifest(d, "", content)
	}
	doc, err := readDocument(m.content)
	if err != nil || doc.Subject == nil {
		return ""
	}
	if subject, err := parseDigest(doc.Subject.Digest.String()); err == nil {
		return subject
	}
	return ""
}
