package upstream

import "context"

type skippedKey struct{}

// WithSkipped has a function called for each source that failed before another one gave what
// was asked for: a mirror that is out of order is told nowhere else. That a source does not
// have the content is no such failure. The function has to be safe for concurrent use.
func WithSkipped(ctx context.Context, skipped func(SourceFailure)) context.Context {
	return context.WithValue(ctx, skippedKey{}, skipped)
}

// report passes on the failures of the sources before the winner's.
func (e *FailedError) report(ctx context.Context, winner *Candidate) {
	skipped, ok := ctx.Value(skippedKey{}).(func(SourceFailure))
	if !ok {
		return
	}
	for _, s := range e.Sources {
		if s.At.Repository() != winner.Repository() && !s.Err.unknown() {
			skipped(s)
		}
	}
}
