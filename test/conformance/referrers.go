package conformance

import (
	"encoding/json"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"

	digest "github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

func referrersPath(repo string, d digest.Digest) string {
	return "/v2/" + repo + "/referrers/" + d.String()
}

// nextLink is the target of a Link header of relation "next" (RFC 8288), "" without one.
func (c *C) nextLink(a *answer) string {
	c.Helper()
	for _, header := range a.header.Values("Link") {
		m := linkForm.FindStringSubmatch(header)
		if m == nil {
			c.Errorf("%s: Link %q is not of the form <target>; rel=\"next\"", a.asked, header)
			continue
		}
		next, err := a.url.Parse(m[1])
		if err != nil {
			c.Errorf("%s: Link %q: %v", a.asked, header, err)
			continue
		}
		return next.String()
	}
	return ""
}

var linkForm = regexp.MustCompile(`^\s*<([^>]*)>\s*;\s*rel="?next"?\s*$`)

// referrers are all descriptors of a list, over all its pages.
func (c *C) referrers(target string) []ocispec.Descriptor {
	c.Helper()
	var all []ocispec.Descriptor
	for target != "" {
		a := c.do(http.MethodGet, target)
		c.must(a, http.StatusOK)
		all = append(all, c.referrersPage(a)...)
		target = c.nextLink(a)
	}
	return all
}

// referrersPage reads one answer: Listing Referrers.
func (c *C) referrersPage(a *answer) []ocispec.Descriptor {
	c.Helper()
	c.wantHeader(a, "Content-Type", ocispec.MediaTypeImageIndex)
	var index struct {
		SchemaVersion int                   `json:"schemaVersion"`
		MediaType     string                `json:"mediaType"`
		Manifests     *[]ocispec.Descriptor `json:"manifests"`
	}
	if err := json.Unmarshal(a.body, &index); err != nil {
		c.Fatalf("%s: the body is no image index: %v\n%s", a.asked, err, excerpt(a.body))
	}
	if index.SchemaVersion != 2 || index.MediaType != ocispec.MediaTypeImageIndex || index.Manifests == nil {
		c.Fatalf("%s: the body is no image index: %s", a.asked, excerpt(a.body))
	}
	return *index.Manifests
}

// wantReferrers looks that a subject has exactly those referrers, each described as the
// specification asks.
func (c *C) wantReferrers(repo string, subject digest.Digest, want ...*object) {
	c.Helper()
	c.wantDescriptors(referrersPath(repo, subject), c.referrers(referrersPath(repo, subject)), want...)
}

func (c *C) wantDescriptors(asked string, got []ocispec.Descriptor, want ...*object) {
	c.Helper()
	byDigest := map[digest.Digest]ocispec.Descriptor{}
	for _, d := range got {
		if _, twice := byDigest[d.Digest]; twice {
			c.Errorf("%s: %s is listed twice", asked, d.Digest)
		}
		byDigest[d.Digest] = d
	}
	for _, o := range want {
		d, ok := byDigest[o.digest]
		if !ok {
			c.Errorf("%s: %s is not listed", asked, o.digest)
			continue
		}
		delete(byDigest, o.digest)
		if d.MediaType != o.mediaType || d.Size != int64(len(o.content)) {
			c.Errorf("%s: %s is listed as %s of %d bytes, want %s of %d", asked, o.digest, d.MediaType, d.Size, o.mediaType, len(o.content))
		}
		if d.ArtifactType != o.artifactType {
			c.Errorf("%s: %s is listed with artifactType %q, want %q", asked, o.digest, d.ArtifactType, o.artifactType)
		}
		if !maps.Equal(d.Annotations, o.annotations) {
			c.Errorf("%s: %s is listed with annotations %q, want %q", asked, o.digest, d.Annotations, o.annotations)
		}
	}
	for d := range byDigest {
		c.Errorf("%s: %s is listed, which is no referrer", asked, d)
	}
}

var referrersChecks = []check{
	{"unknown-subject", referrersNone},
	{"unknown-repository", referrersNoRepository},
	{"malformed-digest", referrersMalformed},
	{"several", referrersSeveral},
	{"many", referrersMany},
	{"once-each", referrersOnce},
	{"of-this-repository", referrersRepository},
	{"subject-deleted", referrersSubjectDeleted},
	{"referrer-deleted", referrersDeleted},
	{"tag-of-referrer-deleted", referrersTagDeleted},
	{"pushed-after-listing", referrersAfterListing},
	{"tag-schema", referrersTagSchema},
}

// Listing Referrers: "If a query results in no matching referrers, an empty manifest
// list MUST be returned".
func referrersNone(c *C) {
	o := c.content.image()
	c.push(c.repository(), o, "alone")
	c.wantReferrers(c.repository(), o.digest)
	for _, a := range []digest.Algorithm{digest.SHA256, digest.SHA512} {
		c.wantReferrers(c.repository(), c.content.with(a).unknownDigest())
	}
}

// Listing Referrers: "the registry MUST NOT return a 404".
func referrersNoRepository(c *C) {
	c.wantReferrers(c.freshRepository(), c.content.unknownDigest())
}

// Listing Referrers: "If the request is invalid, such as a <digest> with an invalid
// syntax, a 400 Bad Request MUST be returned".
func referrersMalformed(c *C) {
	c.push(c.repository(), c.content.image(), "present")
	for _, d := range append([]string{"latest", "sha256"}, malformedDigests...) {
		if strings.Contains(d, "/") {
			continue // another path
		}
		a := c.do(http.MethodGet, "/v2/"+c.repository()+"/referrers/"+url.PathEscape(d))
		c.wantError(a, http.StatusBadRequest, "DIGEST_INVALID")
	}
}

func referrersSeveral(c *C) {
	subject := c.content.image()
	all := []*object{
		c.content.artifact(exampleArtifact, of(subject)),
		c.content.artifact("application/vnd.example.other.v1", of(subject)),
		c.content.image(of(subject)),
		c.content.index([]*object{c.content.image()}, indexOf(subject)),
	}
	c.push(c.repository(), subject, "several")
	for i, o := range all {
		if i%2 == 0 {
			c.pushReferrer(c.repository(), o, "several-"+o.digest.Encoded()[:8])
		} else {
			c.pushReferrer(c.repository(), o)
		}
		c.wantReferrers(c.repository(), subject.digest, all[:i+1]...)
	}
}

// Listing Referrers: what does not fit an answer is linked from it.
func referrersMany(c *C) {
	subject := c.content.image()
	c.push(c.repository(), subject, "many")
	var all []*object
	for range 40 {
		o := c.content.artifact(exampleArtifact, of(subject))
		c.pushReferrer(c.repository(), o)
		all = append(all, o)
	}
	c.wantReferrers(c.repository(), subject.digest, all...)
}

func referrersOnce(c *C) {
	subject := c.content.image()
	o := c.content.artifact(exampleArtifact, of(subject))
	c.push(c.repository(), subject, "once")
	c.pushReferrer(c.repository(), o, o.digest.String(), "once-1", "once-2", o.digest.String())
	c.wantReferrers(c.repository(), subject.digest, o)
}

// Listing Referrers: each is "in the same <name> namespace".
func referrersRepository(c *C) {
	subject, one, other := c.content.image(), c.freshRepository(), c.freshRepository()
	o := c.content.artifact(exampleArtifact, of(subject))
	c.push(one, subject, "subject")
	c.push(other, subject, "subject")
	c.pushReferrer(one, o)
	c.wantReferrers(one, subject.digest, o)
	c.wantReferrers(other, subject.digest)
}

// Listing Referrers: a subject need not be there, so also not any more.
func referrersSubjectDeleted(c *C) {
	subject, repo := c.content.image(), c.freshRepository()
	o := c.content.artifact(exampleArtifact, of(subject))
	c.push(repo, subject, "subject")
	c.pushReferrer(repo, o)
	c.must(c.do(http.MethodDelete, manifestPath(repo, subject.digest.String())), http.StatusAccepted)
	c.wantNoManifest(repo, subject.digest.String())
	c.wantReferrers(repo, subject.digest, o)
	c.wantManifest(repo, o.digest.String(), o)
	c.must(c.do(http.MethodDelete, manifestPath(repo, o.digest.String())), http.StatusAccepted)
	c.wantReferrers(repo, subject.digest)
}

// Deleting Manifests: what is deleted is listed nowhere.
func referrersDeleted(c *C) {
	subject, repo := c.content.image(), c.freshRepository()
	gone, stays := c.content.artifact(exampleArtifact, of(subject)), c.content.index(nil, indexOf(subject))
	c.push(repo, subject, "subject")
	c.pushReferrer(repo, gone, "gone")
	c.pushReferrer(repo, stays, "stays")
	c.must(c.do(http.MethodDelete, manifestPath(repo, gone.digest.String())), http.StatusAccepted)
	c.wantReferrers(repo, subject.digest, stays)
	c.must(c.do(http.MethodDelete, manifestPath(repo, stays.digest.String())), http.StatusAccepted)
	c.wantReferrers(repo, subject.digest)
	c.wantManifest(repo, "subject", subject)
	c.pushReferrer(repo, gone)
	c.wantReferrers(repo, subject.digest, gone)
}

// Deleting tags: a manifest without its tag is there, and refers.
func referrersTagDeleted(c *C) {
	subject, repo := c.content.image(), c.freshRepository()
	o := c.content.artifact(exampleArtifact, of(subject))
	c.push(repo, subject, "subject")
	c.pushReferrer(repo, o, "referrer")
	c.must(c.do(http.MethodDelete, manifestPath(repo, "referrer")), http.StatusAccepted)
	c.wantReferrers(repo, subject.digest, o)
}

func referrersAfterListing(c *C) {
	subject := c.content.image()
	c.push(c.repository(), subject, "after")
	c.wantReferrers(c.repository(), subject.digest)
	o := c.content.artifact(exampleArtifact, of(subject))
	c.pushReferrer(c.repository(), o)
	c.wantReferrers(c.repository(), subject.digest, o)
}

// Referrers Tag Schema, Enabling the Referrers API: an index that a client keeps under
// the tag of a subject is content like other; what it lists that has the subject is a
// referrer.
func referrersTagSchema(c *C) {
	subject, repo := c.content.image(), c.freshRepository()
	o := c.content.artifact(exampleArtifact, of(subject))
	c.push(repo, subject, "subject")
	c.pushReferrer(repo, o)
	list := c.content.index(nil, func(x *ocispec.Index) {
		d := o.descriptor()
		d.ArtifactType, d.Annotations = o.artifactType, o.annotations
		x.Manifests = append(x.Manifests, d)
	})
	tag := strings.Replace(subject.digest.String(), ":", "-", 1)
	c.wantNoManifest(repo, tag)
	c.push(repo, list, tag)
	c.wantManifest(repo, tag, list)
	c.wantReferrers(repo, subject.digest, o)
	if !slices.Contains(c.tags(repo), tag) {
		c.Errorf("the tag %s is not listed", tag)
	}
}
