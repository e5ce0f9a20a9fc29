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

// mediaTypeSignedSchema1 is the type of a signed payload. Verified and kept is the payload
// itself, which has the other type.
const (
	mediaTypeSignedSchema1 = "application/vnd.docker.distribution.manifest.v1+prettyjws"
	mediaTypeSchema1       = "application/vnd.docker.distribution.manifest.v1+json"
)

// fetched is a manifest as received from a source.
type fetched struct {
	content   []byte
	mediaType string
}

// Manifest implements ociregistry.Upstream. Callers with the same sources and pull secrets
// share a fetch and its error. The content is shared and must not be modified.
func (m *Mirror) Manifest(ctx context.Context, w ociregistry.Wanted) ([]byte, string, error) {
	w.Manifest = true
	j := m.newJob(ctx, w)
	got, err := shared(ctx, m, j, kindManifest, func(ctx context.Context) (fetched, error) {
		return m.fetchManifest(ctx, j)
	})
	return got.content, got.mediaType, err
}

// shared runs work once for all concurrent callers with the same key. The work does not end
// with a caller's context, but with the Mirror and by the limits of the calls that it makes.
func shared[V any](ctx context.Context, m *Mirror, j *job, what string, work func(context.Context) (V, error)) (V, error) {
	var zero V
	result := m.flights.DoChan(j.key(what), func() (any, error) {
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
			return zero, gaveUp(m.base, j.Digest)
		}
		<-done
		if err != nil && m.base.Err() != nil {
			return zero, gaveUp(m.base, j.Digest)
		}
		if err != nil {
			return zero, j.failure(err)
		}
		return value, nil
	})
	select {
	case r := <-result:
		value, _ := r.Val.(V)
		return value, r.Err
	case <-ctx.Done():
		return zero, gaveUp(ctx, j.Digest)
	}
}

func (m *Mirror) fetchManifest(ctx context.Context, j *job) (fetched, error) {
	fetchesInFlight.WithLabelValues(kindManifest).Inc()
	defer fetchesInFlight.WithLabelValues(kindManifest).Dec()
	got, from, err := first(ctx, j, j.candidates, remembering(m, j, kindManifest, func(ctx context.Context, c candidate) (upstream.Manifest, error) {
		return c.Manifest(ctx)
	}))
	if err != nil {
		fetchesTotal.WithLabelValues(kindManifest, outcomeOf(j.failure(err))).Inc()
		return fetched{}, err
	}
	fetchesTotal.WithLabelValues(kindManifest, upstream.OutcomeSuccess).Inc()
	receivedBytes.Add(float64(len(got.Bytes)))
	if from.keep && m.keeps() {
		m.keepManifest(ctx, j.Digest, got.Bytes, from)
	}
	if got.MediaType == mediaTypeSignedSchema1 {
		got.MediaType = mediaTypeSchema1
	}
	return fetched{content: got.Bytes, mediaType: got.MediaType}, nil
}

// keepManifest stores a verified manifest and its provenance. A failure is only logged.
func (m *Mirror) keepManifest(ctx context.Context, d digest.Digest, content []byte, from candidate) {
	err := m.opts.Store.Put(ctx, d, content)
	if err == nil {
		err = m.addProvenances(ctx, d, []candidate{from})
	}
	switch {
	case err == nil:
		mirroredBytes.Add(float64(len(content)))
	case errors.Is(err, blobstore.ErrFull):
		m.pauseStorage(d.String(), err)
	default:
		klog.ErrorS(err, "Storing a fetched manifest failed", "digest", d)
	}
}

// addProvenances records the candidates that sent content. If one of them needed a pull secret,
// all records are scoped to its namespace, since it is not known which bytes each sent.
func (m *Mirror) addProvenances(ctx context.Context, d digest.Digest, servedBy []candidate) error {
	scope := ""
	for _, c := range servedBy {
		scope = cmp.Or(scope, c.scope)
	}
	for _, c := range servedBy {
		if err := m.opts.Store.AddProvenance(ctx, d, c.source.Provenance(scope)); err != nil {
			return err
		}
	}
	return nil
}
