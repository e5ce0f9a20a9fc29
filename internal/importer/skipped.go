package importer

import (
	"slices"
	"sync"

	"weir.dev/weir/internal/upstream"
)

// Skipped is a source that failed before another one responded.
type Skipped struct {
	// Source is its host and repository.
	Source string
	// Text describes the failure.
	Text string
}

// skipped collects the distinct sources that the calls for one image skipped.
type skipped struct {
	mu   sync.Mutex
	list []Skipped
}

func (s *skipped) add(f upstream.SourceFailure) {
	s.mu.Lock()
	defer s.mu.Unlock()
	source := f.At.Repository()
	if !slices.ContainsFunc(s.list, func(known Skipped) bool { return known.Source == source }) {
		s.list = append(s.list, Skipped{Source: source, Text: foreignText(upstreamText(f.Err) + refusedText(f.Err))})
	}
}

func (s *skipped) all() []Skipped {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.list
}
