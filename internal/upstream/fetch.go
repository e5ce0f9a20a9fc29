package upstream

import (
	"context"
	"errors"
	"slices"
	"strings"

	"weir.dev/weir/internal/foreigntext"
	"weir.dev/weir/internal/reference"
	"weir.dev/weir/internal/registryrules"
)

// SourceFailure is why one source did not give what was asked of it, whichever credential
// it was shown.
type SourceFailure struct {
	At  registryrules.Source
	Err *Error

	told      *Candidate // whose failure it is
	final     bool       // no credential helps
	throttled bool       // a credential was asked to wait
	refused   string     // the first credential that was refused, in words
}

// FailedError reports that all candidates failed: one failure for each source,
// in the order in which they were asked.
type FailedError struct{ Sources []SourceFailure }

// Error lists the failures; callers put the pull spec in front.
func (e *FailedError) Error() string {
	if len(e.Sources) == 0 {
		return "there is no source to fetch from"
	}
	return summarize(e.Sources).Error()
}

// Unwrap returns the failures of all sources.
func (e *FailedError) Unwrap() []error {
	errs := make([]error, len(e.Sources))
	for i, s := range e.Sources {
		errs[i] = s.Err
	}
	return errs
}

// candidate is *Candidate, or a type that embeds one.
type candidate interface{ self() *Candidate }

func (c *Candidate) self() *Candidate { return c }

// First asks candidates in order; the first success wins, and winner is whose it is. After
// a refusal of any kind, the word that the content is unknown among them, the next credential
// is tried; after any other failure the next source. The error is a *FailedError.
func First[C candidate, V any](ctx context.Context, candidates []C, get func(context.Context, C) (V, error)) (v V, winner C, err error) {
	failed := &FailedError{}
	for _, asked := range candidates {
		c := asked.self()
		if known := failed.at(c); known != nil && known.over(c) {
			continue
		}
		failure := chainOf(ctx).check(c.Source)
		if failure == nil {
			v, err := get(ctx, asked)
			if err == nil {
				c.remember(nil)
				failed.report(ctx, c)
				return v, asked, nil
			}
			failure = asError(err)
		}
		failure = failure.at(c.ref, c.Repository())
		c.remember(failure)
		failed.add(c, failure)
		if ctx.Err() != nil {
			break
		}
	}
	return v, winner, failed
}

// over reports whether a candidate is of no use after the failure of its source. Throttling
// is that of one credential: others of the namespace are tried, but not those that all
// namespaces share, for one of them must not use up what the others need.
func (f *SourceFailure) over(c *Candidate) bool {
	return f.final || f.throttled && !c.Secret()
}

// at is the failure of a candidate's source so far; nil without one.
func (e *FailedError) at(c *Candidate) *SourceFailure {
	i := slices.IndexFunc(e.Sources, func(s SourceFailure) bool {
		return s.At.Repository() == c.Repository() && s.At.Insecure == c.Insecure
	})
	if i < 0 {
		return nil
	}
	return &e.Sources[i]
}

// add notes a failure. A source's first failure other than a refusal is reported, for with that
// credential it said what it has. If all were refused it is the failure of the best match,
// because that credential is the one meant for the repository.
func (e *FailedError) add(c *Candidate, err *Error) {
	known := e.at(c)
	if known == nil {
		e.Sources = append(e.Sources, SourceFailure{At: c.Source, Err: err, told: c})
		known = e.at(c)
	} else if known.Err.refused() && (!err.refused() || c.rank < known.told.rank) {
		known.Err, known.told = err, c
	}
	if err.refused() && !c.cred.Anonymous() && known.refused == "" {
		known.refused = c.cred.Description()
	}
	if known.refused != known.Err.Refused {
		told := *known.Err
		told.Refused = known.refused
		known.Err = &told
	}
	known.throttled = known.throttled || err.Code == CodeTooManyRequests
	known.final = !err.movesOn() && err.Code != CodeTooManyRequests
}

// fetch asks the sources of a tag or digest in order; the first success wins.
func fetch[V any](ctx context.Context, r *Repository, tagOrDigest string, get func(context.Context, *source) (V, error)) (V, error) {
	candidates, err := r.candidates(tagOrDigest)
	if err != nil {
		var zero V
		return zero, err
	}
	return fetchFrom(ctx, candidates, get)
}

// fetchFrom is First with one *Error for all sources.
func fetchFrom[V any](ctx context.Context, candidates []*Candidate, get func(context.Context, *source) (V, error)) (V, error) {
	v, _, err := First(ctx, candidates, func(ctx context.Context, c *Candidate) (V, error) { return get(ctx, &c.source) })
	if failed := (*FailedError)(nil); errors.As(err, &failed) {
		return v, summarize(failed.Sources)
	}
	return v, nil
}

// refer makes a pull spec of the repository and a tag or digest.
func (r *Repository) refer(tagOrDigest string) (spec reference.PullSpec, name string, err error) {
	if strings.Contains(tagOrDigest, ":") {
		if !reference.ValidDigest(tagOrDigest) {
			return spec, "", &Error{Code: CodeName, Ref: r.name.String(), Text: "malformed digest " + foreigntext.Clean(tagOrDigest, 100)}
		}
		return r.spec.WithID(tagOrDigest), r.name.WithID(tagOrDigest).String(), nil
	}
	if tagOrDigest == "" {
		tagOrDigest = "latest"
	}
	if !reference.ValidTag(tagOrDigest) {
		return spec, "", &Error{Code: CodeName, Ref: r.name.String(), Text: "malformed tag " + foreigntext.Clean(tagOrDigest, 100)}
	}
	return r.spec.WithTag(tagOrDigest), r.name.WithTag(tagOrDigest).String(), nil
}

// summarize picks the error to return: the source's, for it is the authority
// on what exists; the first mirror's when the source may not be asked. The
// other reasons follow in its text.
func summarize(failures []SourceFailure) *Error {
	main := max(slices.IndexFunc(failures, func(f SourceFailure) bool { return !f.At.Mirror }), 0)
	e := *failures[main].Err
	var others []string
	for i, f := range failures {
		if i != main {
			others = append(others, f.At.Repository()+": "+f.Err.Error())
		}
	}
	if len(others) > 0 {
		e.Text = e.Error() + " (also tried: " + strings.Join(others, "; ") + ")"
	}
	return &e
}

// blocked is the error of a repository none of whose sources may be contacted,
// neither for its tags nor for its digests.
func (r *Repository) blocked(ref reference.PullSpec) error {
	byTag := r.rules.Plan(r.spec.WithTag("latest"))
	if len(byTag.Sources()) > 0 {
		return nil
	}
	// Any digest will do: rules do not look at its value.
	byDigest := r.rules.Plan(r.spec.WithID("sha256:" + strings.Repeat("0", 64)))
	if len(byDigest.Sources()) > 0 {
		return nil
	}
	return r.blockedError(ref.String(), byTag)
}

func (r *Repository) blockedError(name string, plan registryrules.Plan) *Error {
	return &Error{Code: CodeBlocked, Ref: name, Text: plan.Blocked}
}

// asError brings any error into the package's type.
func asError(err error) *Error {
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	return &Error{Code: CodeUnavailable, Text: foreigntext.Clean(err.Error(), maxText), Err: err}
}

// canceled is the failure of a caller that gave up or ran out of time.
func canceled(cause error) *Error {
	if errors.Is(cause, context.DeadlineExceeded) {
		return &Error{Code: CodeUnavailable, Text: "timed out", Err: cause}
	}
	return &Error{Code: CodeCanceled, Text: cause.Error(), Err: cause}
}

// key joins the parts of a cache key; no part contains a NUL.
func key(parts ...string) string { return strings.Join(parts, "\x00") }

func flag(b bool) string {
	if b {
		return "1"
	}
	return "0"
}
