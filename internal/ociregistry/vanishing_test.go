package ociregistry_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"

	"weir.dev/weir/internal/ociregistry"
	"weir.dev/weir/internal/reference"
)

// vanishing is a directory whose stream another client deletes before one of the lookups.
type vanishing struct {
	*directory
	left   atomic.Int64 // lookups until then
	delete func()
}

func (v *vanishing) count() {
	if v.left.Add(-1) == 0 {
		v.delete()
	}
}

// Stream implements ociregistry.Directory.
func (v *vanishing) Stream(ctx context.Context, repo reference.Repository, live bool) (ociregistry.Stream, error) {
	v.count()
	return v.directory.Stream(ctx, repo, live)
}

// Record implements ociregistry.Directory.
func (v *vanishing) Record(ctx context.Context, p ociregistry.Push) (ociregistry.Stream, error) {
	v.count()
	return v.directory.Record(ctx, p)
}

// TestStreamVanishesDuringPush deletes the stream in the middle of a push that uploads
// nothing: the push is whole in the next stream, or the client learns that a part is missing,
// by the code for which it uploads all of it.
func TestStreamVanishesDuringPush(t *testing.T) {
	for name, reference := range map[string]func(content []byte) string{
		"by tag":    func([]byte) string { return "v2" },
		"by digest": digestOf, // as part of an index, which is pushed then
	} {
		const lookups = 20 // more than one push takes
		refused := 0
		for left := 1; left < lookups; left++ {
			t.Run(fmt.Sprint(name, left), func(t *testing.T) {
				if !pushWhileVanishing(t, left, reference) {
					refused++
				}
			})
		}
		if refused == 0 {
			t.Errorf("%s: the stream was never deleted in the middle of a push", name)
		}
	}
}

// pushWhileVanishing pushes an image anew, whose stream is deleted before a lookup.
func pushWhileVanishing(t *testing.T, left int, reference func(content []byte) string) (taken bool) {
	t.Helper()
	var v *vanishing
	r := start(t, func(o *ociregistry.Options) {
		d, ok := o.Directory.(*directory)
		if !ok {
			t.Fatalf("the directory is a %T", o.Directory)
		}
		v = &vanishing{directory: d, delete: func() { d.deleted(parse(t, "shop/web")) }}
		o.Directory = v
	})
	content := r.image("shop/web", "image")
	r.push("shop/web", "v1", content)
	v.left.Store(int64(left))
	got := r.put("shop/web", reference(content), content)
	if v.left.Swap(0); got.status != 201 {
		r.want(404, ociregistry.CodeManifestBlobUnknown, got)
		return false
	}
	r.push("shop/web", "list", index(t, content))
	r.want(200, "", r.do("GET", "/v2/shop/web/blobs/"+digestOf([]byte("layer of image")), nil))
	r.want(200, "", r.do("GET", "/v2/shop/web/manifests/"+digestOf(content), nil))
	return true
}
