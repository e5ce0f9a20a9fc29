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

// mount links a blob of another repository in this one, if the caller may pull it there. If
// that is refused, or the source does not have it, the client falls back to an upload.
func (x *exchange) mount(wanted, from string) (digest.Digest, bool, error) {
	d, err := parseDigest(wanted)
	if err != nil {
		return "", false, nil
	}
	for _, source := range x.mountSources(d, from) {
		ok, err := x.mayMount(x.context(), source, d)
		if err != nil {
			klog.V(2).InfoS("Mounting a blob failed", "request", x.requestName(), "blob", d,
				"from", source.String(), "to", x.repo.String(), "err", err)
		}
		if !ok {
			continue
		}
		to, err := x.uploads()
		if err != nil {
			return "", false, err
		}
		if err := x.Store.Room(); err != nil {
			return "", false, err
		}
		if err := x.Store.LinkBlob(x.context(), to, d); err != nil {
			return "", false, fmt.Errorf("mounting blob %s from %s in %s: %w", d, source, x.repo, err)
		}
		return d, true, nil
	}
	return "", false, nil
}

// mountSources returns the repositories that a blob may be mounted from: the named one or,
// without a name, this one and those of its namespace with a recent link. Others are not tried:
// each costs an access review, and the time of the reviews would reveal that other tenants
// have a digest.
func (x *exchange) mountSources(d digest.Digest, from string) []reference.Repository {
	names := []string{from}
	if from == "" {
		names = append([]string{x.repo.Key()}, x.Store.RecentlyLinked(x.repo.Namespace, d)...)
	}
	var sources []reference.Repository
	for _, name := range names {
		if source, err := reference.ParseRepository(name); err == nil {
			sources = append(sources, source)
		}
	}
	return sources
}

// mayMount reports whether the caller may pull a blob from a source and its data is stored. It
// applies the same rule as a read there, and never fetches.
func (x *exchange) mayMount(ctx context.Context, source reference.Repository, d digest.Digest) (bool, error) {
	if err := x.Access.Allow(ctx, x.caller, source, ActionPull); err != nil {
		return false, err
	}
	g, err := x.mayRead(ctx, source, d, blobs)
	if err != nil || !g.stored {
		return false, err
	}
	_, err = x.Store.Stat(ctx, d)
	if errors.Is(err, blobstore.ErrUnknown) {
		return false, nil
	}
	return err == nil, err
}
