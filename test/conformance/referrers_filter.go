package conformance

import (
	"net/http"
	"slices"
	"strings"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Listing Referrers: artifactType and annotations of the descriptors.
var referrersTypeChecks = []check{
	{"artifact-type", func(c *C) {
		listedAs(c, func(s *object) *object { return c.content.artifact(exampleArtifact, of(s)) }, exampleArtifact)
	}},
	{"artifact-type-over-config", func(c *C) {
		typed := func(m *ocispec.Manifest) { m.ArtifactType = exampleArtifact }
		listedAs(c, func(s *object) *object { return c.content.image(typed, of(s)) }, exampleArtifact)
	}},
	{"config-media-type", func(c *C) {
		listedAs(c, func(s *object) *object {
			return c.content.manifest(c.content.config(exampleConfig), []blob{c.content.layer(exampleLayer)}, of(s))
		}, exampleConfig)
	}},
	{"image-config", func(c *C) {
		listedAs(c, func(s *object) *object { return c.content.image(of(s)) }, ocispec.MediaTypeImageConfig)
	}},
	{"empty-config", func(c *C) {
		listedAs(c, func(s *object) *object { return c.content.artifact("", of(s)) }, ocispec.MediaTypeEmptyJSON)
	}},
	{"index-with-type", func(c *C) {
		typed := func(x *ocispec.Index) { x.ArtifactType = exampleArtifact }
		listedAs(c, func(s *object) *object { return c.content.index(nil, typed, indexOf(s)) }, exampleArtifact)
	}},
	{"index-without-type", func(c *C) {
		listedAs(c, func(s *object) *object { return c.content.index([]*object{c.content.image()}, indexOf(s)) }, "")
	}},
	{"no-annotations", func(c *C) {
		plain := func(m *ocispec.Manifest) { m.Annotations = nil }
		listedAs(c, func(s *object) *object { return c.content.artifact(exampleArtifact, plain, of(s)) }, exampleArtifact)
	}},
	{"many-annotations", func(c *C) {
		many := func(m *ocispec.Manifest) {
			for _, r := range "abcdefghijklmnopqrstuvwxyz" {
				m.Annotations["org.example."+string(r)] = strings.Repeat(string(r), 200)
			}
			m.Annotations[""] = ""
		}
		listedAs(c, func(s *object) *object { return c.content.artifact(exampleArtifact, many, of(s)) }, exampleArtifact)
	}},
}

// listedAs pushes a referrer and looks how it is listed.
func listedAs(c *C, referrer func(subject *object) *object, artifactType string) {
	subject := c.content.image()
	c.push(c.repository(), subject, "typed")
	o := referrer(subject)
	if o.artifactType != artifactType {
		c.Fatalf("the generator says %q, the specification %q", o.artifactType, artifactType)
	}
	c.pushReferrer(c.repository(), o)
	c.wantReferrers(c.repository(), subject.digest, o)
}

var filterChecks = []check{
	{"matching", filterMatching},
	{"by-config", filterByConfig},
	{"nothing-matches", filterNothing},
	{"unknown-subject", filterUnknownSubject},
	{"plus-sign", filterPlus},
	{"exact", filterExact},
	{"not-asked", filterNotAsked},
	{"unknown-filter", filterUnknown},
	{"many", filterMany},
}

// filtered reads a list with a filter on artifactType and looks at the header that says
// that it was applied.
func (c *C) filtered(target, artifactType string) []ocispec.Descriptor {
	c.Helper()
	target = addQuery(target, "artifactType", artifactType)
	var all []ocispec.Descriptor
	for target != "" {
		a := c.do(http.MethodGet, target)
		c.must(a, http.StatusOK)
		if !slices.Contains(appliedFilters(a), "artifactType") {
			c.Errorf("%s: OCI-Filters-Applied is %q, want artifactType", a.asked, a.header.Values("OCI-Filters-Applied"))
		}
		all = append(all, c.referrersPage(a)...)
		target = c.nextLink(a)
	}
	return all
}

// appliedFilters are the names of a comma separated header.
func appliedFilters(a *answer) []string {
	var names []string
	for _, header := range a.header.Values("OCI-Filters-Applied") {
		for name := range strings.SplitSeq(header, ",") {
			names = append(names, strings.TrimSpace(name))
		}
	}
	return names
}

// filterFixture pushes a subject with a referrer of each type.
func filterFixture(c *C, types ...string) (path string, referrers []*object) {
	subject := c.content.image()
	c.push(c.repository(), subject, "filtered")
	for _, t := range types {
		o := c.content.artifact(t, of(subject))
		c.pushReferrer(c.repository(), o)
		referrers = append(referrers, o)
	}
	return referrersPath(c.repository(), subject.digest), referrers
}

// Listing Referrers (end-12b): only matching descriptors, and OCI-Filters-Applied.
func filterMatching(c *C) {
	path, all := filterFixture(c, "application/vnd.example.a.v1", "application/vnd.example.b.v1", "application/vnd.example.a.v1")
	c.wantDescriptors(path, c.filtered(path, "application/vnd.example.a.v1"), all[0], all[2])
	c.wantDescriptors(path, c.filtered(path, "application/vnd.example.b.v1"), all[1])
	c.wantDescriptors(path, c.referrers(path), all...)
}

// The type that is derived from the configuration is the one that is filtered by.
func filterByConfig(c *C) {
	subject := c.content.image()
	byConfig := c.content.manifest(c.content.config(exampleConfig), []blob{c.content.layer(exampleLayer)}, of(subject))
	untyped := c.content.index(nil, indexOf(subject))
	c.pushReferrer(c.repository(), byConfig)
	c.pushReferrer(c.repository(), untyped)
	path := referrersPath(c.repository(), subject.digest)
	c.wantDescriptors(path, c.filtered(path, exampleConfig), byConfig)
	c.wantDescriptors(path, c.filtered(path, ocispec.MediaTypeEmptyJSON))
}

func filterNothing(c *C) {
	path, _ := filterFixture(c, exampleArtifact)
	c.wantDescriptors(path, c.filtered(path, "application/vnd.example.nothing"))
}

func filterUnknownSubject(c *C) {
	c.push(c.repository(), c.content.image(), "present")
	path := referrersPath(c.repository(), c.content.unknownDigest())
	c.wantDescriptors(path, c.filtered(path, exampleArtifact))
}

// Media types may have a plus sign, which queries escape.
func filterPlus(c *C) {
	path, all := filterFixture(c, "application/vnd.example.a+json", "application/vnd.example.a json")
	c.wantDescriptors(path, c.filtered(path, "application/vnd.example.a+json"), all[0])
}

// A type is not a pattern or a prefix.
func filterExact(c *C) {
	path, _ := filterFixture(c, "application/vnd.example.exact.v1")
	for _, t := range []string{"application/vnd.example.exact.v", "application/*", "*", ".*", "application/vnd.example.exact.v1 "} {
		c.wantDescriptors(path, c.filtered(path, t))
	}
}

// No filter, no header.
func filterNotAsked(c *C) {
	path, all := filterFixture(c, exampleArtifact)
	a := c.do(http.MethodGet, path)
	c.must(a, http.StatusOK)
	c.wantHeader(a, "OCI-Filters-Applied", "")
	c.wantDescriptors(path, c.referrersPage(a), all...)
}

// A filter that a registry does not know is not applied, and not said to be.
func filterUnknown(c *C) {
	path, all := filterFixture(c, exampleArtifact)
	a := c.do(http.MethodGet, addQuery(path, "org.example.filter", "x"))
	c.must(a, http.StatusOK)
	if slices.Contains(appliedFilters(a), "org.example.filter") {
		c.Errorf("%s: OCI-Filters-Applied is %q", a.asked, a.header.Values("OCI-Filters-Applied"))
	}
	c.wantDescriptors(path, c.referrersPage(a), all...)
	a = c.do(http.MethodGet, addQuery(path, "org.example.filter", "x", "artifactType", exampleArtifact))
	c.must(a, http.StatusOK)
	if got := appliedFilters(a); !slices.Equal(got, []string{"artifactType"}) {
		c.Errorf("%s: OCI-Filters-Applied is %q, want artifactType", a.asked, got)
	}
	c.wantDescriptors(path, c.referrersPage(a), all...)
}

// The pages of a filtered list are filtered, all of them.
func filterMany(c *C) {
	var types []string
	for i := range 24 {
		types = append(types, []string{"application/vnd.example.even", "application/vnd.example.odd"}[i%2])
	}
	path, all := filterFixture(c, types...)
	var odd []*object
	for i, o := range all {
		if i%2 == 1 {
			odd = append(odd, o)
		}
	}
	c.wantDescriptors(path, c.filtered(path, "application/vnd.example.odd"), odd...)
}
