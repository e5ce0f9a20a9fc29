package ociregistry_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	digest "github.com/opencontainers/go-digest"

	"weir.dev/weir/internal/ociregistry"
	"weir.dev/weir/internal/reference"
)

// A failure to keep images at import is reported, with the image that it is about.
func TestKeepingFails(t *testing.T) {
	failed := make(chan error, 1)
	r := start(t, func(o *ociregistry.Options) {
		o.OnKeepFailed = func(_ context.Context, repo reference.Repository, err error) {
			if repo.Key() == "shop/web" {
				failed <- err
			}
		}
	})
	m := []byte(`{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json"}`)
	r.imported(t, "shop/web", "v1", m)
	r.upstream.failure = errors.New("the other registry is down")
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- r.handler.RunKeeper(ctx) }()
	r.handler.KeepImported(parse(t, "shop/web"))
	if err := <-failed; !strings.Contains(err.Error(), digest.FromBytes(m).String()) || !errors.Is(err, r.upstream.failure) {
		t.Errorf("the failure is %v", err)
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
