package upstream

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"

	"weir.dev/weir/internal/reference"
)

// fetch asks the sources of a tag or digest in order; the first success wins.
func fetch[V any](ctx context.Context, r *Repository, tagOrDigest string, get func(context.Context, *source) (V, error)) (V, error) {
	return fetchAvoiding(ctx, r, tagOrDigest, nil, get)
}

// fetchAvoiding is fetch that asks some sources, named by host/repository, after all others.
func fetchAvoiding[V any](ctx context.Context, r *Repository, tagOrDigest string, avoid []string, get func(context.Context, *source) (V, error)) (V, error) {
	var zero V
	spec, name, err := r.refer(tagOrDigest)
	if err != nil {
		return zero, err
	}
	plan := r.rules.plan(spec, spec.ID != "" && !r.byTag)
	sources := plan.Sources()
	if len(sources) == 0 {
		return zero, r.blockedError(name, plan)
	}
	slices.SortStableFunc(sources, func(a, b Source) int {
		return cmp.Compare(flag(slices.Contains(avoid, a.Repository())), flag(slices.Contains(avoid, b.Repository())))
	})
	var failures []*Error
	for _, at := range sources {
		if !at.Mirror {
			at.Insecure = at.Insecure || r.insecure
		}
		v, err := atSource(ctx, r, at, name, get)
		if err == nil {
			return v, nil
		}
		failures = append(failures, err)
		if ctx.Err() != nil {
			break
		}
	}
	return zero, summarize(failures, sources)
}

// refer makes a pull spec of the repository and a tag or digest.
func (r *Repository) refer(tagOrDigest string) (spec reference.PullSpec, name string, err error) {
	if strings.Contains(tagOrDigest, ":") {
		if !reference.ValidDigest(tagOrDigest) {
			return spec, "", &Error{Code: CodeName, Ref: r.name.String(), Text: "malformed digest " + clean(bounded(tagOrDigest, 100))}
		}
		return r.spec.WithID(tagOrDigest), r.name.WithID(tagOrDigest).String(), nil
	}
	if tagOrDigest == "" {
		tagOrDigest = "latest"
	}
	if !reference.ValidTag(tagOrDigest) {
		return spec, "", &Error{Code: CodeName, Ref: r.name.String(), Text: "malformed tag " + clean(bounded(tagOrDigest, 100))}
	}
	return r.spec.WithTag(tagOrDigest), r.name.WithTag(tagOrDigest).String(), nil
}

// summarize picks the error to return: the source's, for it is the authority
// on what exists; the first mirror's when the source may not be asked. The
// other reasons follow in its text.
func summarize(failures []*Error, sources []Source) *Error {
	main := max(slices.IndexFunc(sources[:len(failures)], func(s Source) bool { return !s.Mirror }), 0)
	e := *failures[main]
	var others []string
	for i, f := range failures {
		if i != main {
			others = append(others, sources[i].Repository()+": "+f.Error())
		}
	}
	if len(others) > 0 {
		e.Text = e.Error() + " (also tried: " + strings.Join(others, "; ") + ")"
	}
	return &e
}

// atSource asks one source with every credential that matches it, the last
// time with none: a wrong pull secret must not hide a public image. An answer
// other than a refusal decides. If all are refused, the first one's error is
// returned, because that credential is the one meant for the repository.
func atSource[V any](ctx context.Context, r *Repository, at Source, name string, get func(context.Context, *source) (V, error)) (V, *Error) {
	var zero V
	if err := chainOf(ctx).check(at); err != nil {
		return zero, err.at(name, at.Repository())
	}
	c := r.client
	creds := distinct(append(slices.Clip(r.creds.Lookup(at.CredentialHost, at.Path)), Credential{Origin: "nobody"}))
	set := c.credentialSetKey(at, creds)
	order := c.preferredFirst(set, creds)
	failures := make(map[string]*Error, len(order))
	for _, cred := range order {
		v, err := get(ctx, &source{client: c, Source: at, cred: cred})
		if err == nil {
			c.preferred.Add(set, cred.identity())
			return v, nil
		}
		failure := asError(err).at(name, at.Repository())
		if !failure.refused() || ctx.Err() != nil {
			return zero, failure
		}
		failures[cred.identity()] = failure
	}
	c.preferred.Remove(set)
	return zero, failures[creds[0].identity()]
}

// credentialSetKey is the cache key of "this source with these credentials".
func (c *Client) credentialSetKey(at Source, creds []Credential) string {
	ids := make([]string, len(creds))
	for i, cred := range creds {
		ids[i] = cred.identity()
	}
	return key(at.Repository(), flag(at.Insecure), strings.Join(ids, ","))
}

// preferredFirst puts the credential that worked last time in front, so that
// asking again costs no refusals.
func (c *Client) preferredFirst(set string, creds []Credential) []Credential {
	worked, ok := c.preferred.Get(set)
	if !ok {
		return creds
	}
	i := slices.IndexFunc(creds, func(cred Credential) bool { return cred.identity() == worked })
	if i <= 0 {
		return creds
	}
	order := []Credential{creds[i]}
	return append(append(order, creds[:i]...), creds[i+1:]...)
}

// distinct drops repeated credentials.
func distinct(creds []Credential) []Credential {
	seen := map[string]bool{}
	return slices.DeleteFunc(creds, func(c Credential) bool {
		id := c.identity()
		dup := seen[id]
		seen[id] = true
		return dup
	})
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

func (r *Repository) blockedError(name string, plan Plan) *Error {
	return &Error{Code: CodeBlocked, Ref: name, Text: plan.Blocked}
}

// asError brings any error into the package's type.
func asError(err error) *Error {
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	return &Error{Code: CodeUnavailable, Text: clean(err.Error()), Err: err}
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
