package ociregistry

import (
	"context"
	"errors"
	"fmt"

	digest "github.com/opencontainers/go-digest"
	"k8s.io/klog/v2"

	"weir.dev/weir/internal/blobstore"
	"weir.dev/weir/internal/reference"
)

// maxHolders bounds the repositories that are asked for a mount that names none: each
// costs a review of the caller's rights.
const maxHolders = 16

// mount makes a blob of another repository readable in this one, if the caller may pull
// it there. Whatever stands against that, be it a refusal or that nothing is known of the
// source, only means that the client has to upload.
func (x *exchange) mount(wanted, from string) (digest.Digest, bool, error) {
	d, err := parseDigest(wanted)
	if err != nil {
		return "", false, nil
	}
	for _, source := range x.mountSources(d, from) {
		ok, err := x.mayMount(x.context(), source, d)
		if err != nil {
			klog.V(2).InfoS("A blob could not be mounted", "request", x.requestName(), "blob", d,
				"from", source.String(), "to", x.repo.String(), "err", err)
		}
		if !ok {
			continue
		}
		if err := x.Store.LinkBlob(x.context(), x.repo.Key(), d); err != nil {
			return "", false, fmt.Errorf("mounting blob %s from %s in %s: %w", d, source, x.repo, err)
		}
		return d, true, nil
	}
	return "", false, nil
}

// mountSources are the repositories a blob may be mounted from: the one that is named,
// or those that are known to have it.
func (x *exchange) mountSources(d digest.Digest, from string) []reference.Repository {
	if from != "" {
		source, err := reference.ParseRepository(from)
		if err != nil {
			return nil
		}
		return []reference.Repository{source}
	}
	// This repository may have it itself.
	sources := append([]reference.Repository{x.repo}, x.Directory.HoldersOf(d)...)
	return sources[:min(len(sources), maxHolders)]
}

// mayMount reports whether the caller may pull a blob from a source, by the same rules as
// for reading it there, and whether its data is here. Nothing is fetched for a mount.
func (x *exchange) mayMount(ctx context.Context, source reference.Repository, d digest.Digest) (bool, error) {
	if err := x.Access.Allow(ctx, x.caller, source, ActionPull); err != nil {
		return false, err
	}
	s, err := x.blobStanding(ctx, source, d)
	if err != nil || !s.stored() {
		return false, err
	}
	_, err = x.Store.Stat(ctx, d)
	if errors.Is(err, blobstore.ErrUnknown) {
		return false, nil
	}
	return err == nil, err
}
