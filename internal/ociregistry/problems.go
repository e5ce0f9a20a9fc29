package ociregistry

import (
	"cmp"
	"errors"
	"slices"
	"sync"
)

// problems are the parts of a pushed manifest that keep it from being stored. They are bounded in
// number, and so is the work for parts that are absent: a manifest may name tens of thousands. It
// is safe for concurrent use.
type problems struct {
	mu     sync.Mutex
	wrong  []problem
	absent int // parts that may be absent, and are
}

// problem is an error about the part with an index.
type problem struct {
	part int
	err  *Error
}

func newProblems() *problems { return &problems{} }

// enough reports whether no further part needs to be looked up.
func (p *problems) enough() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.wrong) > maxMissing || p.absent > maxAbsent
}

// collect keeps an error about a part for the client, unless the part is optional and not
// there, and returns any other.
func (p *problems) collect(i int, of part, err error) error {
	var e *Error
	switch {
	case err == nil:
		return nil
	case of.optional && (isUnknown(err) || hasCode(err, CodeManifestBlobUnknown)):
		p.mu.Lock()
		defer p.mu.Unlock()
		p.absent++
		return nil
	case isUnknown(err):
		e = of.unknown()
	case errors.As(err, &e) && hasCode(e, CodeManifestBlobUnknown, CodeManifestInvalid):
	default:
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.wrong = append(p.wrong, problem{i, e})
	return nil
}

// err is what the client is told, nil if there is nothing wrong.
func (p *problems) err() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.wrong) == 0 && p.absent > maxAbsent {
		return NewError(CodeManifestBlobUnknown, "more than %d parts of the manifest are unknown to the repository; push those that it is to have first, and leave out the others", maxAbsent)
	}
	if len(p.wrong) == 0 {
		return nil
	}
	slices.SortFunc(p.wrong, func(a, b problem) int { return cmp.Compare(a.part, b.part) })
	var all Errors
	for _, w := range p.wrong[:min(len(p.wrong), maxMissing)] {
		all = append(all, w.err)
	}
	if len(p.wrong) > maxMissing {
		all = append(all, NewError(CodeManifestBlobUnknown, "the parts after these were not looked up"))
	}
	return all
}
