package conformance

import (
	"net/http"
	"net/url"
	"strings"

	digest "github.com/opencontainers/go-digest"
)

var nameChecks = []check{
	{"grammar", namesGrammar},
	{"deep", namesDeep},
	{"words-of-paths", namesWords},
	{"apart", namesApart},
	{"long", namesLong},
}

// below are names below the target's repository, which the grammar allows.
func below(c *C, names ...string) []string {
	var all []string
	for _, n := range names {
		all = append(all, c.repository()+"/"+n)
	}
	return all
}

// usable pushes, reads, lists and deletes in a repository.
func usable(c *C, repo string) {
	c.Helper()
	o := c.content.image()
	for _, b := range o.blobs {
		u := c.start(repo)
		u.wantAppended(u.stream(b.content))
		c.wantBlob(u.commit(b.digest, nil), b)
	}
	c.wantPut(c.put(repo, o, "latest"), o)
	c.wantManifest(repo, "latest", o)
	c.wantManifest(repo, o.digest.String(), o)
	c.wantEqual("tags of "+repo, c.tags(repo), []string{"latest"})
	referrer := c.content.artifact(exampleArtifact, of(o))
	c.pushReferrer(repo, referrer)
	c.wantReferrers(repo, o.digest, referrer)
	c.must(c.do(http.MethodDelete, manifestPath(repo, "latest")), http.StatusAccepted)
	c.deleteManifest(repo, o)
	c.wantNoManifest(repo, o.digest.String())
}

// Pulling manifests: <name> and its regular expression.
func namesGrammar(c *C) {
	for _, repo := range append(below(c, "a", "0", "a.b", "a_b", "a__b", "a-b", "a--b", "a-----b", "1.2_3__4-5---6", "a.b.c", "x2f", "a.x2f.b"),
		c.repository()+"__x", c.repository()+"_x", c.repository()+".x", c.repository()+"---x") {
		c.Step(repo, func(c *C) { usable(c, repo) })
	}
}

func namesDeep(c *C) {
	for _, repo := range below(c, "a/b", "a/b/c", "a/b/c/d/e/f/g/h/i/j", "a__b/c--d/e.f") {
		c.Step(repo, func(c *C) { usable(c, repo) })
	}
}

// Words that paths have elsewhere are names like others.
func namesWords(c *C) {
	for _, repo := range below(c, "manifests", "blobs", "tags", "list", "uploads", "referrers", "v2", "blobs/uploads", "tags/list", "manifests/latest", "signatures", "manifests/blobs") {
		c.Step(repo, func(c *C) { usable(c, repo) })
	}
}

// Definitions, Repository: names that are alike are not the same.
func namesApart(c *C) {
	names := below(c, "a/b", "a-b", "a--b", "a---b", "a.b", "a_b", "a__b", "a.x2f.b", "a.x2d2.b", "a.x5f2.b", "a.x2e.b", "a.x2e.x2f.b", "a", "b", "a/b/c")
	o := map[string]*object{}
	for _, repo := range names {
		o[repo] = c.content.image()
		c.push(repo, o[repo], "latest")
	}
	for _, repo := range names {
		c.wantManifest(repo, "latest", o[repo])
		c.wantEqual("tags of "+repo, c.tags(repo), []string{"latest"})
	}
	for _, repo := range names[1:] {
		c.wantNoManifest(repo, o[names[0]].digest.String())
		c.wantNoBlob(repo, o[names[0]].blobs[0].digest)
	}
}

// Pulling manifests: many clients stop at 255 characters, the specification does not. A
// registry may refuse longer names, in words of the specification.
func namesLong(c *C) {
	for _, length := range []int{200, 254, 400, 3000} {
		repo := c.repository() + "/"
		for len(repo) < length-40 {
			repo += strings.Repeat("a", 39) + "/"
		}
		repo += strings.Repeat("b", length-len(repo))
		a := c.do(http.MethodPost, uploadsOf(repo), withBody(nil))
		if length == 200 {
			c.must(a, http.StatusAccepted)
		}
		if c.want(a, http.StatusAccepted, http.StatusBadRequest, http.StatusNotFound, http.StatusUnauthorized, http.StatusRequestURITooLong) && a.status == http.StatusAccepted {
			u := c.uploadOf(repo, a)
			b := c.content.blob(10)
			c.wantBlob(u.commit(b.digest, b.content), b)
		}
	}
}

var nameRefusedChecks = []check{
	{"below-repository", func(c *C) {
		for _, n := range []string{
			"UPPER", "a.", ".a", "-a", "a-", "_a", "a_", "a..b", "a___b", "a_.b", "a._b", "a-_b", "a.-b", "a b", "a+b", "ä", "a@b", "a:b", "a\x00b",
			"a~b", "a*", "a\\b", "a%2fb", "a\nb", "a/.", "a/-b", "a/B",
		} {
			refusedName(c, c.repository()+"/"+escapeName(n), n)
		}
	}},
	{"whole", func(c *C) {
		for _, n := range []string{"UPPER", "-", "_", ".", "..", "a..b", "__", "Ä"} {
			refusedName(c, escapeName(n), n)
			refusedName(c, escapeName(n)+"/a", n+"/a")
		}
	}},
}

func escapeName(name string) string {
	parts := strings.Split(name, "/")
	for i, p := range parts {
		parts[i] = url.PathEscape(p)
	}
	return strings.Join(parts, "/")
}

// refusedName asks in every way for a repository whose name is none. It is not there,
// and nothing is put there.
func refusedName(c *C, escaped, name string) {
	c.Helper()
	d := digest.FromString("x")
	o := c.content.index(nil)
	for _, ask := range []struct {
		method, path string
		body         []byte
	}{
		{http.MethodGet, manifestPath(escaped, "latest"), nil},
		{http.MethodPut, manifestPath(escaped, "latest"), o.content},
		{http.MethodDelete, manifestPath(escaped, "latest"), nil},
		{http.MethodGet, blobPath(escaped, d), nil},
		{http.MethodDelete, blobPath(escaped, d), nil},
		{http.MethodPost, uploadsOf(escaped), nil},
		{http.MethodPost, addQuery(uploadsOf(escaped), "digest", d.String()), []byte("x")},
		{http.MethodGet, tagsPath(escaped), nil},
		{http.MethodGet, referrersPath(escaped, d), nil},
	} {
		k := []option{withHeader("Content-Type", o.mediaType)}
		if ask.body != nil || ask.method == http.MethodPost {
			k = append(k, withBody(ask.body))
		}
		a := c.do(ask.method, ask.path, k...)
		if !c.want(a, http.StatusBadRequest, http.StatusNotFound, http.StatusUnauthorized, http.StatusMovedPermanently, http.StatusPermanentRedirect, http.StatusTemporaryRedirect) {
			c.Logf("the name was %q", name)
		} else if a.status == http.StatusBadRequest && a.method != http.MethodHead {
			c.wantError(a, http.StatusBadRequest, "NAME_INVALID")
		}
	}
}
