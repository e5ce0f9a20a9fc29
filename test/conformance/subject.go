package conformance

import (
	"fmt"
	"net/http"

	digest "github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

var subjectChecks = []check{
	{"header", subjectHeader},
	{"header-of-index", subjectIndexHeader},
	{"header-by-digest", subjectHeaderByDigest},
	{"no-subject-no-header", subjectNone},
	{"missing", subjectMissing},
	{"pushed-later", subjectLater},
	{"sha512", subjectSHA512},
	{"of-a-referrer", subjectChain},
	{"is-an-index", subjectIsIndex},
	{"unlike-descriptor", subjectUnlike},
}

// pushReferrer pushes a manifest with a subject, and looks at the header that says that
// the registry has understood it.
func (c *C) pushReferrer(repo string, o *object, references ...string) {
	c.Helper()
	c.pushBlobs(repo, o)
	if len(references) == 0 {
		references = []string{o.digest.String()}
	}
	for _, reference := range references {
		a := c.put(repo, o, reference)
		c.must(a, http.StatusCreated)
		c.wantHeader(a, "OCI-Subject", o.subject.String())
	}
}

// Pushing Manifests with Subject: OCI-Subject.
func subjectHeader(c *C) {
	subject := c.content.image()
	c.push(c.repository(), subject, "subject-header")
	c.pushReferrer(c.repository(), c.content.artifact(exampleArtifact, of(subject)), "subject-header-referrer")
	c.pushReferrer(c.repository(), c.content.image(of(subject)))
}

func subjectIndexHeader(c *C) {
	subject := c.content.image()
	c.push(c.repository(), subject, "index-header")
	c.pushReferrer(c.repository(), c.content.index([]*object{c.content.image()}, indexOf(subject)))
	c.pushReferrer(c.repository(), c.content.index(nil, indexOf(subject)), "index-header-referrer")
}

func subjectHeaderByDigest(c *C) {
	subject := c.content.image()
	c.push(c.repository(), subject)
	o := c.content.artifact(exampleArtifact, of(subject))
	c.pushReferrer(c.repository(), o, o.digest.String(), "by-digest", o.digest.String())
}

func subjectNone(c *C) {
	o := c.content.image()
	c.pushBlobs(c.repository(), o)
	c.wantHeader(c.put(c.repository(), o, "none"), "OCI-Subject", "")
}

// Push: "A registry MUST initially accept an otherwise valid manifest with a subject
// field that references a manifest that does not exist in the repository".
func subjectMissing(c *C) {
	repo := c.freshRepository()
	o := c.content.artifact(exampleArtifact, of(c.content.image()))
	c.pushReferrer(repo, o)
	c.wantManifest(repo, o.digest.String(), o)
	c.wantNoManifest(repo, o.subject.String())
	c.wantReferrers(repo, o.subject, o)
}

// Push: "allowing clients to push a manifest and referrers to that manifest in either
// order".
func subjectLater(c *C) {
	repo, subject := c.freshRepository(), c.content.image()
	o := c.content.artifact(exampleArtifact, of(subject))
	c.pushReferrer(repo, o, "referrer")
	c.push(repo, subject, "subject")
	c.wantReferrers(repo, subject.digest, o)
	c.wantManifest(repo, "subject", subject)
	c.wantManifest(repo, o.digest.String(), o)
}

func subjectSHA512(c *C) {
	g := c.content.with(digest.SHA512)
	subject := g.image()
	o := g.artifact(exampleArtifact, of(subject))
	c.push(c.repository(), subject)
	c.pushReferrer(c.repository(), o)
	c.wantReferrers(c.repository(), subject.digest, o)
	mixed := c.content.artifact(exampleArtifact, of(subject))
	c.pushReferrer(c.repository(), mixed)
	c.wantReferrers(c.repository(), subject.digest, o, mixed)
}

// Definitions, Subject: an association from one manifest to another; a signature of a
// list of materials refers to that, not to the image.
func subjectChain(c *C) {
	image := c.content.image()
	materials := c.content.artifact(exampleArtifact, of(image))
	signature := c.content.artifact("application/vnd.example.signature.v1", of(materials))
	c.push(c.repository(), image, "chain")
	c.pushReferrer(c.repository(), materials)
	c.pushReferrer(c.repository(), signature)
	c.wantReferrers(c.repository(), image.digest, materials)
	c.wantReferrers(c.repository(), materials.digest, signature)
	c.wantReferrers(c.repository(), signature.digest)
}

func subjectIsIndex(c *C) {
	index := c.content.platforms()
	c.push(c.repository(), index, "is-an-index")
	ofIndex := c.content.artifact(exampleArtifact, of(index))
	ofChild := c.content.artifact(exampleArtifact, of(index.children[0]))
	c.pushReferrer(c.repository(), ofIndex)
	c.pushReferrer(c.repository(), ofChild)
	c.wantReferrers(c.repository(), index.digest, ofIndex)
	c.wantReferrers(c.repository(), index.children[0].digest, ofChild)
	c.wantReferrers(c.repository(), index.children[1].digest)
}

// Push: type and size of a subject that need not exist are the client's word.
func subjectUnlike(c *C) {
	subject := c.content.image()
	c.push(c.repository(), subject, "unlike")
	o := c.content.artifact(exampleArtifact, func(m *ocispec.Manifest) {
		m.Subject = &ocispec.Descriptor{MediaType: "application/vnd.example.other", Digest: subject.digest, Size: 1}
	})
	c.pushReferrer(c.repository(), o, fmt.Sprintf("unlike-%d", c.content.serial))
	c.wantReferrers(c.repository(), subject.digest, o)
}
