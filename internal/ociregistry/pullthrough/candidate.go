package pullthrough

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	digest "github.com/opencontainers/go-digest"

	"weir.dev/weir/internal/ociregistry"
	"weir.dev/weir/internal/pullsecrets"
	"weir.dev/weir/internal/upstream"
)

// candidate is a source with credentials to fetch content from, and the provenance to record.
type candidate struct {
	*upstream.Candidate
	source ociregistry.Source // in the provenance of its content
	// scope is ociregistry.Wanted.Scope if a pull secret of the namespace is used, "" for
	// credentials that all namespaces share.
	scope string
	// keep is false if its content must not be stored.
	keep bool
}

// job is the content that a caller wants, with the candidates to fetch it from.
type job struct {
	ociregistry.Wanted
	candidates []candidate              // best first, each once
	blocked    []upstream.SourceFailure // of blocked sources
	chain      []string                 // URLs of the requests that caused this one
}

// newJob finds the candidates for the wanted content. There are none for an invalid digest.
func (m *Mirror) newJob(ctx context.Context, w ociregistry.Wanted) *job {
	j := &job{Wanted: w, chain: upstream.RequestURLs(ctx)}
	if w.Digest.Validate() != nil {
		return j
	}
	var creds pullsecrets.Credentials
	for _, s := range w.Sources {
		if s.Disabled {
			continue
		}
		if creds == nil {
			creds = m.credentials(ctx, w.Namespace)
		}
		j.add(s, m.opts.Upstream, creds)
	}
	return j
}

// add appends the candidates of a source.
func (j *job) add(s ociregistry.Source, client *upstream.Client, creds pullsecrets.Credentials) {
	repo, err := client.Repository(s.Ref.AsRepository(), s.Insecure, creds)
	var ways []*upstream.Candidate
	if err == nil {
		ways, err = repo.Candidates(j.Digest)
	}
	var failure *upstream.Error
	if errors.As(err, &failure) {
		at := *failure
		at.Source = s.Ref.AsRepository().WithDefaults().String()
		j.blocked = append(j.blocked, upstream.SourceFailure{Err: &at})
	}
	for _, way := range ways {
		if slices.ContainsFunc(j.candidates, func(c candidate) bool { return c.Key() == way.Key() }) {
			continue
		}
		c := candidate{Candidate: way, source: s, keep: s.Mirror && storable(j.Digest)}
		if way.Secret() {
			c.scope = j.Scope
			c.keep = c.keep && j.Scope != ""
		}
		j.candidates = append(j.candidates, c)
	}
}

// storable reports whether storage supports the algorithm of a digest.
func storable(d digest.Digest) bool {
	return d.Algorithm() == digest.SHA256 || d.Algorithm() == digest.SHA512
}

// kept returns the same job with only the candidates whose content may be stored.
func (j *job) kept() *job {
	k := *j
	k.candidates = slices.DeleteFunc(slices.Clone(j.candidates), func(c candidate) bool { return !c.keep })
	return &k
}

// shareKey is equal for jobs that may share a fetch, in any namespace. No part contains a NUL.
func (j *job) shareKey() fetchKey {
	var parts []string
	for _, c := range j.candidates {
		parts = append(parts, c.scope, c.Key())
	}
	return fetchKey{j.Digest, strings.Join(parts, "\x00")}
}

// key is equal for jobs with the same requests to the same registries and the same errors.
func (j *job) key(what string) string {
	parts := []string{what, j.Digest.String(), j.Namespace, strings.Join(j.chain, " ")}
	for _, c := range j.candidates {
		parts = append(parts, c.Key(), fmt.Sprint(c.keep))
	}
	return strings.Join(parts, "\x00")
}

// first tries the candidates of a job in turn. Every request carries the chain of requests that
// led to it.
func first[V any](ctx context.Context, j *job, candidates []candidate, get func(context.Context, candidate) (V, error)) (V, candidate, error) {
	return upstream.First(upstream.WithRequestURLs(ctx, j.chain), candidates, get)
}

// remembering skips a candidate that recently reported that it does not have the content.
func remembering[V any](m *Mirror, j *job, what string, get func(context.Context, candidate) (V, error)) func(context.Context, candidate) (V, error) {
	return func(ctx context.Context, c candidate) (V, error) {
		asked := job{Wanted: j.Wanted, chain: j.chain, candidates: []candidate{c}}
		key := asked.key(what)
		if missing, ok := m.misses.Get(key); ok {
			var zero V
			return zero, missing
		}
		v, err := get(ctx, c)
		if e := upstreamError(err); e != nil && isUnknown(e.Code) {
			m.misses.Add(key, e)
		}
		return v, err
	}
}
