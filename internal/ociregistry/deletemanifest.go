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
	// The deletion is completed even if the client leaves.
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

// removeManifest removes a digest from the stream's history and from the repository. Its
// content stays in the store, since other repositories may have it. The stream comes first,
// so that a deletion that breaks off can be repeated.
func (x *exchange) removeManifest(ctx context.Context, d digest.Digest) error {
	s, err := x.Directory.Stream(ctx, x.repo, false)
	if err != nil {
		return err
	}
	// Do not read a manifest that only other repositories have: the time would reveal it.
	subject := digest.Digest("")
	if has, err := x.linked(ctx, s.Repository(), d, manifests); err != nil {
		return err
	} else if has {
		subject = x.subjectOf(ctx, d)
	}
	inHistory, err := x.Directory.DeleteManifest(ctx, x.repo, d)
	if err != nil && !isUnknown(err) {
		return err
	}
	unknown := err
	linked, err := x.unlinkManifest(ctx, s.Repository(), d)
	if err != nil {
		return err
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

// unlinkManifest removes the link of a manifest, and reports whether there was one.
func (x *exchange) unlinkManifest(ctx context.Context, from blobstore.Repository, d digest.Digest) (linked bool, err error) {
	if from.Owner() == "" {
		return false, nil
	}
	err = x.Store.UnlinkManifest(ctx, from, d)
	if errors.Is(err, blobstore.ErrUnknown) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("unlinking manifest %s in %s: %w", d, x.repo, err)
	}
	x.Directory.Released(from)
	return true, nil
}

// subjectOf returns the subject of a stored manifest, "" without one.
func (x *exchange) subjectOf(ctx context.Context, d digest.Digest) digest.Digest {
	m, _ := x.manifests.Get(d)
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
