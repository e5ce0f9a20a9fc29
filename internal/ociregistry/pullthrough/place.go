package pullthrough

import (
	"context"
	"fmt"
	"slices"
	"strings"

	digest "github.com/opencontainers/go-digest"

	"weir.dev/weir/internal/ociregistry"
	"weir.dev/weir/internal/reference"
	"weir.dev/weir/internal/upstream"
)

// place is an outside repository, asked with the pull secrets of one namespace. A place
// belongs to one call or one fetch and is asked by one goroutine at a time.
type place struct {
	m         *Mirror
	namespace string
	// scope is ociregistry.Wanted.Scope where its pull secrets may show more
	// than others see, "" for what everybody sees.
	scope   string
	creds   upstream.Credentials
	source  ociregistry.Source
	ref     reference.PullSpec
	sources []string // who answers for it: mirrors and the source
	chain   []string // requests that led here
	repo    *upstream.Repository

	// What became of it in the middle of a blob.
	tries   int
	since   int64 // where in the blob the last failure was
	gone    bool
	failure error
}

// places are where a caller's content may come from, best first, each once.
func (m *Mirror) places(ctx context.Context, w ociregistry.Wanted) []*place {
	chain := upstream.RequestURLs(ctx)
	rules := m.opts.Upstream.Rules()
	var creds upstream.Credentials
	var all []*place
	add := func(p *place) {
		if !slices.ContainsFunc(all, func(other *place) bool { return other.key() == p.key() }) {
			all = append(all, p)
		}
	}
	for _, s := range w.Sources {
		if s.Off {
			continue
		}
		if creds == nil {
			creds = m.credentials(ctx, w.Namespace)
		}
		ref := s.Ref.AsRepository()
		p := place{m: m, namespace: w.Namespace, creds: creds, source: s, ref: ref, chain: chain}
		byID := rules.Plan(ref.WithID(w.Digest.String()))
		p.sources = namesOf(byID.Sources())
		if hasSecret(creds, byID.Sources()) {
			p.confine(w.Scope)
		}
		add(&p)
		// Content is asked for by digest. Mirrors that serve tags only have what their
		// tags led to all the same, so they come behind, where the source itself may
		// be contacted.
		byTag := rules.Plan(ref.WithTag("latest"))
		if byID.Source != nil && !within(namesOf(byTag.Mirrors), p.sources) {
			tagged := p
			tagged.ref, tagged.sources = ref.WithTag("latest"), namesOf(byTag.Sources())
			if tagged.scope == "" && hasSecret(creds, byTag.Sources()) {
				tagged.confine(w.Scope)
			}
			add(&tagged)
		}
	}
	return all
}

// confine records what comes from a place for its namespace alone. Without a scope it is
// not kept.
func (p *place) confine(scope string) {
	if scope == "" {
		scope, p.source.Mirror = "namespace "+p.namespace, false
	}
	p.scope = scope
}

// hasSecret tells whether a namespace has something to show to one of several registries
// that others do not have.
func hasSecret(creds upstream.Credentials, sources []upstream.Source) bool {
	for _, s := range sources {
		if slices.ContainsFunc(creds.Lookup(s.CredentialHost, s.Path), func(c upstream.Credential) bool { return !c.Node }) {
			return true
		}
	}
	return false
}

func namesOf(sources []upstream.Source) []string {
	names := make([]string, len(sources))
	for i, s := range sources {
		names[i] = s.Repository()
	}
	return names
}

// within says whether all of some names are among others.
func within(names, others []string) bool {
	return !slices.ContainsFunc(names, func(name string) bool { return !slices.Contains(others, name) })
}

// key is the same for places that give the same answers. No part contains a NUL.
func (p *place) key() string {
	return strings.Join([]string{p.namespace, p.ref.String(), fmt.Sprint(p.source.Insecure), strings.Join(p.chain, " ")}, "\x00")
}

// site is the same for places that have the same content to give, whoever asks.
func (p *place) site() string {
	return strings.Join([]string{p.scope, p.ref.String(), fmt.Sprint(p.source.Insecure)}, "\x00")
}

// sitesOf are those of several places together.
func sitesOf(all []*place) string {
	sites := make([]string, len(all))
	for i, p := range all {
		sites[i] = p.site()
	}
	return strings.Join(sites, "\x00")
}

// keysOf is the key of several places together with what is asked of them.
func keysOf(what string, d digest.Digest, all []*place) string {
	parts := []string{what, d.String()}
	for _, p := range all {
		parts = append(parts, p.key(), fmt.Sprint(p.source.Mirror))
	}
	return strings.Join(parts, "\x00")
}

// keptOnly are the places whose content may be kept.
func keptOnly(all []*place) []*place {
	var kept []*place
	for _, p := range all {
		if p.source.Mirror {
			kept = append(kept, p)
		}
	}
	return kept
}

// again are the same places without what became of them.
func again(all []*place) []*place {
	fresh := make([]*place, len(all))
	for i, p := range all {
		c := *p
		c.tries, c.since, c.gone, c.failure = 0, 0, false, nil
		fresh[i] = &c
	}
	return fresh
}

// name is host/repository, as shown to people.
func (p *place) name() string { return p.ref.WithDefaults().AsRepository().String() }

// ask asks the repository for something, unless it is known that it does not have it.
func ask[V any](ctx context.Context, p *place, what string, d digest.Digest, get func(context.Context, *upstream.Repository) (V, error)) (V, error) {
	key := keysOf(what, d, []*place{p})
	if missing, ok := p.m.misses.get(key); ok {
		var zero V
		return zero, missing
	}
	v, err := askAnyway(ctx, p, get)
	if e := upstreamError(err); e != nil && isUnknown(e.Code) {
		p.m.misses.put(key, e)
	}
	return v, err
}

// askAnyway asks without looking at what is known. Every request says which requests led
// to it.
func askAnyway[V any](ctx context.Context, p *place, get func(context.Context, *upstream.Repository) (V, error)) (V, error) {
	if p.repo == nil {
		repo, err := p.m.opts.Upstream.Repository(p.ref, p.source.Insecure, p.creds)
		if err != nil {
			var zero V
			return zero, err
		}
		p.repo = repo
	}
	return get(upstream.WithRequestURLs(ctx, p.chain), p.repo)
}

func (p *place) manifest(ctx context.Context, d digest.Digest) (upstream.Manifest, error) {
	return ask(ctx, p, "manifest", d, func(ctx context.Context, r *upstream.Repository) (upstream.Manifest, error) {
		return r.Manifest(ctx, d.String())
	})
}

func (p *place) blobSize(ctx context.Context, d digest.Digest) (int64, error) {
	return ask(ctx, p, "blob", d, func(ctx context.Context, r *upstream.Repository) (int64, error) {
		return r.BlobSize(ctx, d)
	})
}

// openBlob opens a blob. going says that somebody had it a moment ago, so that a place
// is asked whatever it said before.
func (p *place) openBlob(ctx context.Context, d digest.Digest, offset int64, avoid []string, going bool) (*upstream.BlobStream, error) {
	open := func(ctx context.Context, r *upstream.Repository) (*upstream.BlobStream, error) {
		return r.OpenBlob(ctx, d, offset, avoid...)
	}
	if going {
		return askAnyway(ctx, p, open)
	}
	return ask(ctx, p, "blob", d, open)
}
