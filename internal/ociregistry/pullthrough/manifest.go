package pullthrough

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	digest "github.com/opencontainers/go-digest"
	"k8s.io/klog/v2"

	"weir.dev/weir/internal/blobstore"
	"weir.dev/weir/internal/ociregistry"
	"weir.dev/weir/internal/upstream"
)

// mediaTypeSignedSchema1 is answered for a payload with signatures around it; what is
// verified and kept is the payload, which has the other type.
const (
	mediaTypeSignedSchema1 = "application/vnd.docker.distribution.manifest.v1+prettyjws"
	mediaTypeSchema1       = "application/vnd.docker.distribution.manifest.v1+json"
)

// fetched is a manifest as a place gave it.
type fetched struct {
	content   []byte
	mediaType string
}

// Manifest implements ociregistry.Upstream. Callers with the same sources and pull
// secrets share a fetch; what others are refused is not their failure. The content is
// shared and must not be changed.
func (m *Mirror) Manifest(ctx context.Context, w ociregistry.Wanted) ([]byte, string, error) {
	if w.Digest.Validate() != nil {
		return nil, "", failureOf(ociregistry.CodeManifestUnknown, w.Digest, nil)
	}
	all := m.places(ctx, w)
	got, err := shared(ctx, m, keysOf(kindManifest, w.Digest, all), w.Digest, func(ctx context.Context) (fetched, error) {
		return m.fetchManifest(ctx, w.Digest, all)
	})
	return got.content, got.mediaType, err
}

// shared does work once for all who ask for a key meanwhile. The work belongs to none of
// them: it ends with the Mirror, and by the limits of the calls that it makes.
func shared[V any](ctx context.Context, m *Mirror, key string, d digest.Digest, work func(context.Context) (V, error)) (V, error) {
	var zero V
	result := m.flights.DoChan(key, func() (any, error) {
		value, err := zero, error(nil)
		done := make(chan struct{})
		if !m.start(func() {
			defer close(done)
			defer func() {
				if p := recover(); p != nil {
					err = fmt.Errorf("panic: %v", p)
				}
			}()
			value, err = work(m.base)
		}) {
			return zero, gaveUp(m.base, d)
		}
		<-done
		return value, err
	})
	select {
	case r := <-result:
		value, _ := r.Val.(V)
		return value, r.Err
	case <-ctx.Done():
		return zero, gaveUp(ctx, d)
	}
}

func (m *Mirror) fetchManifest(ctx context.Context, d digest.Digest, all []*place) (fetched, error) {
	fetchesInFlight.WithLabelValues(kindManifest).Inc()
	defer fetchesInFlight.WithLabelValues(kindManifest).Dec()
	for _, p := range all {
		got, err := p.manifest(ctx, d)
		if err != nil {
			p.failure = err
			fetchesTotal.WithLabelValues(kindManifest, outcomeOf(err)).Inc()
			continue
		}
		fetchesTotal.WithLabelValues(kindManifest, upstream.OutcomeSuccess).Inc()
		receivedBytes.Add(float64(len(got.Bytes)))
		if p.source.Mirror && m.keeps() && storable(d) {
			m.keepManifest(ctx, d, got.Bytes, p)
		}
		if got.MediaType == mediaTypeSignedSchema1 {
			got.MediaType = mediaTypeSchema1
		}
		return fetched{content: got.Bytes, mediaType: got.MediaType}, nil
	}
	if ctx.Err() != nil {
		return fetched{}, gaveUp(ctx, d)
	}
	return fetched{}, failureOf(ociregistry.CodeManifestUnknown, d, all)
}

// keepManifest stores a verified manifest and where it came from. The caller gets it in
// any case.
func (m *Mirror) keepManifest(ctx context.Context, d digest.Digest, content []byte, from *place) {
	err := m.opts.Store.Put(ctx, d, content)
	if err == nil {
		err = m.addProvenances(ctx, d, []*place{from})
	}
	switch {
	case err == nil:
		mirroredBytes.Add(float64(len(content)))
	case errors.Is(err, blobstore.ErrFull):
		m.rest(d.String(), err)
	default:
		klog.ErrorS(err, "A manifest that passed through was not kept", "digest", d)
	}
}

// addProvenances records which places gave content. If one of them needed a pull secret,
// all count for its namespace alone: what each of them has is not known.
func (m *Mirror) addProvenances(ctx context.Context, d digest.Digest, givers []*place) error {
	scope := ""
	for _, p := range givers {
		scope = cmp.Or(scope, p.scope)
	}
	for _, p := range givers {
		if err := m.opts.Store.AddProvenance(ctx, d, p.source.Provenance(scope)); err != nil {
			return err
		}
	}
	return nil
}
