package ociregistry_test

import (
	"context"
	"sync"
	"testing"
	"time"

	digest "github.com/opencontainers/go-digest"

	"weir.dev/weir/internal/ociregistry"
	"weir.dev/weir/internal/reference"
)

// handingOver is a directory that hands copies over after a reader found no link and before it
// looks at the copies.
type handingOver struct {
	*directory
	handOver *sync.Once
	do       func()
}

// Stream implements ociregistry.Directory.
func (h *handingOver) Stream(ctx context.Context, repo reference.Repository, live bool) (ociregistry.Stream, error) {
	s, err := h.directory.Stream(ctx, repo, live)
	if err != nil || repo.String() != "b/app" {
		return s, err
	}
	return copiesRead{s, h}, nil
}

type copiesRead struct {
	ociregistry.Stream
	h *handingOver
}

// Copied implements ociregistry.Stream.
func (s copiesRead) Copied() []digest.Digest {
	s.h.handOver.Do(s.h.do)
	return s.Stream.Copied()
}

// TestReadDuringHandOver reads a copy while its links replace those of its source.
func TestReadDuringHandOver(t *testing.T) {
	const layerText = "layer of image"
	layer := digest.FromString(layerText)
	for name, handOver := range map[string]func(r *registry, m digest.Digest){
		"the source lost its links": func(r *registry, m digest.Digest) {
			r.want(202, "", r.do("DELETE", "/v2/a/app/blobs/"+layer.String(), nil))
			r.want(202, "", r.do("DELETE", "/v2/a/app/manifests/"+m.String(), nil))
			r.removeReleased("a/app")
		},
		"the source is gone": func(r *registry, _ digest.Digest) {
			r.fatal(r.handler.Remove(r.t.Context(), r.directory.deleted(parse(r.t, "a/app")), time.Now()))
		},
	} {
		for _, path := range []string{"blobs", "manifests"} {
			t.Run(name+", "+path, func(t *testing.T) {
				h := &handingOver{handOver: &sync.Once{}}
				r := start(t, func(o *ociregistry.Options) {
					h.directory = o.Directory.(*directory)
					o.Directory = h
				})
				content := r.image("a/app", "image")
				r.push("a/app", "v1", content)
				m := digest.FromBytes(content)
				r.directory.copied(parse(t, "a/app"), parse(t, "b/app"), "copy", m)
				done := false
				h.do = func() {
					done = true
					handOver(r, m)
				}
				d := map[string]digest.Digest{"blobs": layer, "manifests": m}[path]
				r.want(200, "", r.do("GET", "/v2/b/app/"+path+"/"+d.String(), nil))
				if !done {
					t.Error("the copies were not read")
				}
			})
		}
	}
}
