package upstream

import (
	"context"
	"slices"
	"strings"

	digest "github.com/opencontainers/go-digest"

	"weir.dev/weir/internal/foreigntext"
	"weir.dev/weir/internal/pullsecrets"
	"weir.dev/weir/internal/registryrules"
)

// Candidate is one way to ask for content: a source, with one credential or with none. It
// holds nothing to close and is safe for concurrent use. First asks candidates in turn.
type Candidate struct {
	source
	ref string // pull spec as the caller spelled it, for errors
	// credentials is the key under which the client remembers which of the source's
	// credentials works; rank is the place of this one in the order of Credentials.
	credentials string
	rank        int
}

// Key identifies the request and its credential, and holds no part of the credential.
func (c *Candidate) Key() string { return c.key() }

// Secret reports whether the credential is one that not every namespace may use.
func (c *Candidate) Secret() bool { return !c.cred.Anonymous() && !c.cred.Node }

// Manifest fetches and verifies the manifest, as Repository.Manifest does.
func (c *Candidate) Manifest(ctx context.Context) (Manifest, error) { return c.manifest(ctx) }

// BlobSize finds the size of the blob in bytes. If the size in a HEAD is not the expected
// one (-1 for none), a GET decides.
func (c *Candidate) BlobSize(ctx context.Context, expected int64) (int64, error) {
	return c.blobSize(ctx, expected)
}

// Candidates lists the ways to ask for content of a digest, in the order in which to try
// them: mirrors and the source as the rules for digests have them, each with the
// credentials that match and at last with none. Mirrors that serve tags only have what
// their tags consist of, so they follow, unless the source must not be contacted. The error
// is an *Error: CodeBlocked when there is no candidate.
func (r *Repository) Candidates(d digest.Digest) ([]*Candidate, error) {
	if d.Validate() != nil {
		return nil, &Error{Code: CodeName, Ref: r.name.String(), Text: "malformed digest " + foreigntext.Clean(d.String(), 100)}
	}
	spec, name, err := r.refer(d.String())
	if err != nil {
		return nil, err
	}
	plan := r.rules.PlanByDigest(spec)
	sources := plan.Sources()
	if len(sources) == 0 {
		return nil, r.blockedError(name, plan)
	}
	if plan.Source != nil {
		for _, mirror := range r.rules.PlanByTag(spec).Mirrors {
			if !slices.ContainsFunc(sources, func(s registryrules.Source) bool { return s.Repository() == mirror.Repository() }) {
				sources = append(sources, mirror)
			}
		}
	}
	return r.candidatesAt(sources, name), nil
}

// candidates lists the ways to ask for a tag or digest, by the rules for its kind.
func (r *Repository) candidates(tagOrDigest string) ([]*Candidate, error) {
	spec, name, err := r.refer(tagOrDigest)
	if err != nil {
		return nil, err
	}
	plan := r.rules.Plan(spec)
	if r.byTag {
		plan = r.rules.PlanByTag(spec)
	}
	if len(plan.Sources()) == 0 {
		return nil, r.blockedError(name, plan)
	}
	return r.candidatesAt(plan.Sources(), name), nil
}

// candidatesAt lists sources with their credentials. The last of each has none: a wrong
// pull secret must not hide a public image.
func (r *Repository) candidatesAt(sources []registryrules.Source, name string) []*Candidate {
	var all []*Candidate
	for _, at := range sources {
		at.Insecure = at.Insecure || r.insecure
		creds := pullsecrets.Distinct(append(slices.Clip(r.creds.Lookup(at.CredentialHost, at.Path)), pullsecrets.Credential{Origin: "anonymous"}))
		credentials := credentialsKey(at, creds)
		own := make([]*Candidate, len(creds))
		for i, cred := range creds {
			own[i] = &Candidate{source: source{Source: at, client: r.client, cred: cred}, ref: name, credentials: credentials, rank: i}
		}
		all = append(all, r.client.preferredFirst(own)...)
	}
	return all
}

// credentialsKey is the cache key of a source with these credentials.
func credentialsKey(at registryrules.Source, creds []pullsecrets.Credential) string {
	ids := make([]string, len(creds))
	for i, cred := range creds {
		ids[i] = cred.Identity()
	}
	return key(at.Repository(), flag(at.Insecure), strings.Join(ids, ","))
}

// preferredFirst moves the candidate whose credential worked last time to the front, so
// that asking again costs no refusals. All are of one source.
func (c *Client) preferredFirst(own []*Candidate) []*Candidate {
	worked, ok := c.preferred.Get(own[0].credentials)
	if !ok {
		return own
	}
	i := slices.IndexFunc(own, func(o *Candidate) bool { return o.cred.Identity() == worked })
	if i <= 0 {
		return own
	}
	return slices.Concat(own[i:i+1], own[:i], own[i+1:])
}

// remember notes whether the credential works.
func (c *Candidate) remember(failure *Error) {
	preferred, id := c.client.preferred, c.cred.Identity()
	if failure == nil {
		preferred.Add(c.credentials, id)
		return
	}
	if worked, _ := preferred.Get(c.credentials); failure.refused() && worked == id {
		preferred.Remove(c.credentials)
	}
}
