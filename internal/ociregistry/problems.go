package ociregistry

import (
	"cmp"
	"errors"
	"slices"
	"sync"
)

// problems collects the errors about parts of a pushed manifest. It bounds their number, and the
// lookups of absent parts: a manifest may name tens of thousands. It is safe for concurrent
// use.
type problems struct {
	mu     sync.Mutex
	wrong  []problem
	absent int // number of absent optional parts
}

// problem is an error about the part at an index.
type problem struct {
	part int
	err  *Error
}

func newProblems() *problems { return &problems{} }

// enough reports whether further lookups are unnecessary.
func (p *problems) enough() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.wrong) > maxMissing || p.absent > maxAbsent
}

// collect records an error about a part for the client, unless the part is optional and
// absent, and returns any other error.
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

// err returns the error for the client, nil without problems.
func (p *problems) err() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.wrong) == 0 && p.absent > maxAbsent {
		return NewError(CodeManifestBlobUnknown, "more than %d parts of the manifest are unknown to the repository; push them first, or remove them from the manifest", maxAbsent)
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
