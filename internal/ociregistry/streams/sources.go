package streams

import (
	"slices"
	"strings"

	digest "github.com/opencontainers/go-digest"

	"weir.dev/weir/internal/ociregistry"
)

// manifestSources are where a manifest may be fetched from that the history has through
// these images (itself, or lists that it is part of): the repositories that their events
// refer to, newest first, those with secure transport before the others. What the newest
// event of a repository decides about its transport. Those that are switched off come last:
// what was fetched from there before is still theirs.
func (h *history) manifestSources(images []digest.Digest) []ociregistry.Source {
	chosen, mirror := h.matching(images)
	return h.sources(chosen, mirror)
}

// blobSources are where a blob may be fetched from that these images refer to: the
// repositories of their events first, then those of other tags' heads, then those of
// older events. Layers of one image come from several repositories of a registry, where
// it was put together from others. A registry that one tag calls insecure is.
//
// Content that was only pushed here has no source. Neither has the content of tags that are all
// switched off: the repositories of other tags do not take their place.
func (h *history) blobSources(images []digest.Digest) []ociregistry.Source {
	chosen, mirror := h.matching(images)
	for i := range chosen {
		chosen[i].insecure = h.repositories[chosen[i].repository].insecureHost
	}
	if !slices.ContainsFunc(chosen, func(c candidate) bool { return !c.off }) {
		return h.sources(chosen, mirror)
	}
	sources := h.sources(chosen, mirror)
	for _, heads := range []bool{true, false} {
		sources = append(sources, h.sources(h.others(chosen, heads), mirror)...)
	}
	return sources
}

// candidate is an outside repository that is to be tried, or is off.
type candidate struct {
	repository    int
	insecure, off bool
}

// matching are the repositories of the images' own events, newest first, and whether any
// of these events lets content be kept. A repository is off when all of them say so.
func (h *history) matching(images []digest.Digest) (chosen []candidate, mirror bool) {
	if len(h.repositories) == 0 {
		return nil, false
	}
	events := h.eventsOf(images)
	for _, off := range []bool{false, true} {
		for _, i := range events {
			e := &h.events[i]
			if e.off != off || e.repository == own || contains(chosen, e.repository) {
				continue
			}
			chosen = append(chosen, candidate{repository: e.repository, insecure: e.insecure, off: off})
		}
	}
	return chosen, slices.ContainsFunc(events, func(i int) bool {
		e := &h.events[i]
		return e.mirror && !e.off && e.repository != own
	})
}

// others are the repositories that are not chosen: of heads, or all others, sorted by
// name.
func (h *history) others(chosen []candidate, heads bool) []candidate {
	var others []candidate
	for i := range h.repositories {
		r := &h.repositories[i]
		if r.head == heads && !r.off && !contains(chosen, i) {
			others = append(others, candidate{repository: i, insecure: r.insecureHost})
		}
	}
	slices.SortFunc(others, func(a, b candidate) int {
		return strings.Compare(h.repositories[a.repository].key, h.repositories[b.repository].key)
	})
	return others
}

func contains(list []candidate, repository int) bool {
	return slices.ContainsFunc(list, func(c candidate) bool { return c.repository == repository })
}

// sources are the candidates as others know them, secure ones first and those that are off
// last.
func (h *history) sources(list []candidate, mirror bool) []ociregistry.Source {
	var sources []ociregistry.Source
	add := func(insecure, off bool) {
		for _, c := range list {
			if c.insecure == insecure && c.off == off {
				repository := &h.repositories[c.repository]
				sources = append(sources, ociregistry.Source{
					Ref: repository.ref, Identity: repository.key, Insecure: insecure, Disabled: off,
					Mirror: mirror && !off && !repository.local, Local: repository.local,
				})
			}
		}
	}
	for _, off := range []bool{false, true} {
		add(false, off)
		add(true, off)
	}
	return sources
}
