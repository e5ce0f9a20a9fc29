package conformance

import (
	"maps"
	"slices"

	digest "github.com/opencontainers/go-digest"
)

// verify compares a repository with what all walkers were acknowledged.
func verify(c *C, repo string, walkers []*walker) {
	tags, subjects := map[string]*object{}, map[digest.Digest][]*object{}
	for _, w := range walkers {
		if w == nil {
			return // it has told what was wrong
		}
		m := w.model[repo]
		maps.Copy(tags, m.tags)
		for _, o := range m.live {
			c.wantWhole(repo, o)
			if o.subject != "" {
				subjects[o.subject] = append(subjects[o.subject], o)
			}
		}
		for _, o := range m.gone {
			if !slices.ContainsFunc(m.live, func(x *object) bool { return x.digest == o.digest }) {
				c.wantNoManifest(repo, o.digest.String())
			}
			if o.subject != "" && subjects[o.subject] == nil {
				subjects[o.subject] = nil // no referrer, or those of others
			}
		}
		for _, d := range m.removed {
			c.wantNoBlob(repo, d)
		}
		for _, d := range w.strange {
			c.wantNoBlob(repo, d)
			c.wantNoManifest(repo, d.String())
		}
	}
	names := slices.Sorted(maps.Keys(tags))
	if len(names) > 0 {
		c.wantEqual("tags of "+repo, c.tags(repo), names)
	}
	for _, tag := range names {
		c.wantManifest(repo, tag, tags[tag])
	}
	for subject, referrers := range subjects {
		c.wantReferrers(repo, subject, referrers...)
	}
}

// wantWhole looks that a manifest is there with all its blobs.
func (c *C) wantWhole(repo string, o *object) {
	c.Helper()
	c.readBack(repo, &object{mediaType: o.mediaType, content: o.content, digest: o.digest, blobs: o.blobs}, nil)
}
