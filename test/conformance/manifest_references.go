package conformance

import (
	"bytes"
	"net/http"
	"strings"

	digest "github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

var manifestReferenceChecks = []check{
	{"missing-config", func(c *C) { missing(c, 0) }},
	{"missing-layer", func(c *C) { missing(c, 1) }},
	{"missing-everything", missingEverything},
	{"blob-of-other-repository", missingElsewhere},
	{"child-of-other-repository", foreignChild},
	{"index-whole-elsewhere-before", func(c *C) { foreignIndex(c, true) }},
	{"index-whole-elsewhere-after", func(c *C) { foreignIndex(c, false) }},
	{"index-again-after-child-deleted", indexAgain},
	{"non-distributable-of-other-repository", foreignNonDistributable},
	{"missing-child", missingChild},
	{"no-blobs", noBlobs},
	{"non-distributable", nonDistributableMissing},
	{"wrong-size", wrongSize},
	{"wrong-data", wrongData},
	{"deleted-blob", missingDeleted},
}

// missing pushes an image without one of its blobs, of which the configuration is the
// first. Push: a registry MAY refuse it, and then tells MANIFEST_BLOB_UNKNOWN (code-5).
// This suite expects it to be refused, unless the registry is configured to take it.
func missing(c *C, which int) {
	for tag, o := range map[string]*object{
		"missing-image": c.content.image(), "missing-docker": c.content.dockerImage(),
		"missing-artifact": c.content.manifest(c.content.config(exampleConfig), []blob{c.content.layer(exampleLayer)}),
	} {
		for i, b := range o.blobs {
			if i != which {
				c.pushBlob(c.repository(), b)
			}
		}
		for _, reference := range []string{tag, o.digest.String()} {
			a := c.put(c.repository(), o, reference)
			if which > 0 && c.options().SparseLayers {
				c.must(a, http.StatusCreated)
				c.wantManifest(c.repository(), reference, o)
				c.wantNoBlob(c.repository(), o.blobs[which].digest)
				continue
			}
			c.wantIncomplete(c.repository(), a, reference, o)
		}
	}
}

// wantIncomplete looks at the answer to a manifest whose blobs are missing.
func (c *C) wantIncomplete(repo string, a *answer, reference string, o *object) {
	c.Helper()
	c.wantError(a, http.StatusNotFound, "MANIFEST_BLOB_UNKNOWN")
	c.wantNoManifest(repo, reference)
	c.wantNoManifest(repo, o.digest.String())
}

func missingEverything(c *C) {
	o, repo := c.content.image(), c.freshRepository()
	c.wantIncomplete(repo, c.put(repo, o, "everything"), "everything", o)
}

// Pushing Manifests: blobs are those of the repository. To name a digest known from
// elsewhere does not bring its content here.
func missingElsewhere(c *C) {
	o, one, other := c.content.image(), c.freshRepository(), c.freshRepository()
	c.push(one, o, "here")
	c.wantIncomplete(other, c.put(other, o, "there"), "there", o)
	c.pushBlob(other, o.blobs[0])
	a := c.put(other, o, "there")
	if !c.options().SparseLayers || a.status != http.StatusCreated {
		c.wantIncomplete(other, a, "there", o)
	}
	for _, layer := range o.blobs[1:] {
		c.wantNoBlob(other, layer.digest)
	}
}

// An index may list what is not there. What another repository has under that digest is
// not there by that, at no depth.
func foreignChild(c *C) {
	private, one, other := c.content.index([]*object{c.content.image()}), c.freshRepository(), c.freshRepository()
	c.push(one, private, "private")
	thief := c.content.index([]*object{private, private.children[0]})
	c.must(c.put(other, thief, "thief"), http.StatusCreated)
	for _, m := range tree(private) {
		c.wantNoManifest(other, m.digest.String())
		c.wantNoBlob(other, m.digest)
		for _, b := range m.blobs {
			c.wantNoBlob(other, b.digest)
		}
	}
	c.wantManifest(other, "thief", thief)
	c.wantManifest(one, "private", private)
}

// The same index is pushed whole to one repository and without its children to another,
// where it may be refused. What comes of one has no part in what comes of the other.
func foreignIndex(c *C, wholeFirst bool) {
	o, one, other := c.content.platforms(), c.freshRepository(), c.freshRepository()
	if wholeFirst {
		c.push(one, o, "whole")
	}
	if a := c.put(other, o, "sparse"); a.status != http.StatusCreated {
		c.wantError(a, http.StatusNotFound, "MANIFEST_BLOB_UNKNOWN")
	}
	if !wholeFirst {
		c.push(one, o, "whole")
	}
	for _, child := range o.children {
		c.wantNoManifest(other, child.digest.String())
		for _, b := range child.blobs {
			c.wantNoBlob(other, b.digest)
		}
		c.wantManifest(one, child.digest.String(), child)
	}
	c.wantManifest(one, "whole", o)
	c.push(other, o, "whole")
	for _, child := range o.children {
		c.wantManifest(other, child.digest.String(), child)
	}
}

// An index whose child was deleted is one of the repository's manifests, which may get
// another tag.
func indexAgain(c *C) {
	o, repo := c.content.platforms(), c.freshRepository()
	c.push(repo, o, "first")
	c.deleteManifest(repo, o.children[0])
	c.must(c.put(repo, o, "second"), http.StatusCreated)
	c.wantManifest(repo, "second", o)
	c.wantNoManifest(repo, o.children[0].digest.String())
}

// Nobody looks whether a non-distributable layer is there. What another repository has
// under its digest is not there by that.
func foreignNonDistributable(c *C) {
	private, one := c.content.blob(100), c.freshRepository()
	c.pushBlob(one, private)
	for _, mediaType := range []string{
		ocispec.MediaTypeImageLayerNonDistributable, ocispec.MediaTypeImageLayerNonDistributableGzip, ocispec.MediaTypeImageLayerNonDistributableZstd, //nolint:staticcheck // deprecated, and still pushed
	} {
		other := c.freshRepository()
		layer := private.descriptor()
		layer.MediaType, layer.URLs = mediaType, []string{"https://example.com/layer"}
		thief := c.content.image(func(m *ocispec.Manifest) { m.Layers = append(m.Layers, layer) })
		c.push(other, thief, "thief")
		c.wantNoBlob(other, private.digest)
	}
	c.want(c.do(http.MethodGet, blobPath(one, private.digest)), http.StatusOK)
}

// Push: manifests of an index may be missing; platforms that nobody needs are left out
// that way (sparse indexes).
func missingChild(c *C) {
	o := c.content.index([]*object{c.content.image(), c.content.image()})
	for _, reference := range []string{"sparse", o.digest.String()} {
		c.must(c.put(c.repository(), o, reference), http.StatusCreated)
		c.wantManifest(c.repository(), reference, o)
	}
	for _, child := range o.children {
		c.wantNoManifest(c.repository(), child.digest.String())
	}
	c.push(c.repository(), o.children[0])
	c.wantManifest(c.repository(), o.children[0].digest.String(), o.children[0])
}

// Pushing Manifests: "the list of blobs MAY be empty".
func noBlobs(c *C) {
	empty := c.content.index(nil)
	c.push(c.repository(), empty, "no-children")
	c.wantManifest(c.repository(), "no-children", empty)
	image := c.content.manifest(c.content.config(ocispec.MediaTypeImageConfig), nil)
	c.push(c.repository(), image, "no-layers")
	c.wantManifest(c.repository(), "no-layers", image)
}

// image-spec, layer.md, Non-Distributable Layers: nobody uploads them.
func nonDistributableMissing(c *C) {
	o := c.content.nonDistributable()
	c.push(c.repository(), o, "non-distributable")
	c.wantManifest(c.repository(), "non-distributable", o)
}

// image-spec, descriptor.md: a size that is not the content's may be refused. A registry
// that takes it keeps the bytes.
func wrongSize(c *C) {
	o := c.content.image(func(m *ocispec.Manifest) { m.Layers[0].Size += 7 })
	c.pushBlobs(c.repository(), o)
	a := c.put(c.repository(), o, "wrong-size")
	if c.want(a, http.StatusCreated, http.StatusBadRequest) && a.status == http.StatusCreated {
		c.wantManifest(c.repository(), "wrong-size", o)
	}
}

// image-spec, descriptor.md, Embedded Content: data that is not the content may be
// refused. It is never what is read as the blob.
func wrongData(c *C) {
	o := c.content.image(func(m *ocispec.Manifest) { m.Config.Data = []byte("{}") })
	c.pushBlobs(c.repository(), o)
	a := c.put(c.repository(), o, "wrong-data")
	if c.want(a, http.StatusCreated, http.StatusBadRequest) && a.status == http.StatusCreated {
		c.wantManifest(c.repository(), "wrong-data", o)
	}
	read := c.do(http.MethodGet, blobPath(c.repository(), o.blobs[0].digest))
	if c.want(read, http.StatusOK) && !bytes.Equal(read.body, o.blobs[0].content) {
		c.Errorf("%s: not the blob that was pushed", read.asked)
	}
}

// Deleting Blobs: a blob that was deleted is missing.
func missingDeleted(c *C) {
	o, repo := c.content.image(), c.freshRepository()
	c.pushBlobs(repo, o)
	c.must(c.do(http.MethodDelete, blobPath(repo, o.blobs[0].digest)), http.StatusAccepted)
	c.wantIncomplete(repo, c.put(repo, o, "deleted"), "deleted", o)
}

// Pushing Manifests: there is a limit, and it is 4 megabytes or more.
var manifestSizeChecks = []check{
	{"one-megabyte", func(c *C) { padded(c, 1<<20, http.StatusCreated) }},
	{"limit", func(c *C) { padded(c, c.options().MaxManifestBytes, http.StatusCreated) }},
	{"beyond-limit", func(c *C) { padded(c, c.options().MaxManifestBytes+1, http.StatusRequestEntityTooLarge) }},
	{"far-beyond-limit", func(c *C) { padded(c, 3*c.options().MaxManifestBytes, http.StatusRequestEntityTooLarge) }},
	{"beyond-limit-without-length", sizeStreamed},
	{"many-layers", manyLayers},
}

// padTo is an image whose manifest has exactly so many bytes.
func (c *C) padTo(size int) *object {
	o := c.content.image(func(m *ocispec.Manifest) { m.Annotations["org.example.padding"] = "PADDING" })
	padding := strings.Repeat("x", size-len(o.content)+len("PADDING"))
	o.content = bytes.Replace(o.content, []byte("PADDING"), []byte(padding), 1)
	o.digest = digest.FromBytes(o.content)
	return o
}

func padded(c *C, size, status int) {
	o := c.padTo(size)
	c.pushBlobs(c.repository(), o)
	reference := "size-" + o.digest.Encoded()[:12]
	// The connection may be closed on a client that sends on and on.
	a, err := c.try(http.MethodPut, manifestPath(c.repository(), reference), withBody(o.content), withHeader("Content-Type", o.mediaType))
	if err != nil {
		c.Fatalf("pushing a manifest of %d bytes: %v; want status %d", size, err, status)
	}
	c.must(a, status)
	if status == http.StatusCreated {
		c.wantManifest(c.repository(), reference, o)
		c.wantManifest(c.repository(), o.digest.String(), o)
	} else {
		c.wantNoManifest(c.repository(), reference)
		c.wantNoManifest(c.repository(), o.digest.String())
	}
}

func sizeStreamed(c *C) {
	o := c.padTo(c.options().MaxManifestBytes + 1)
	c.pushBlobs(c.repository(), o)
	a := c.do(http.MethodPut, manifestPath(c.repository(), "size-streamed"), withStream(bytes.NewReader(o.content)), withHeader("Content-Type", o.mediaType))
	c.must(a, http.StatusRequestEntityTooLarge)
	c.wantNoManifest(c.repository(), "size-streamed")
}

// 2000 layers, which are all the same blob.
func manyLayers(c *C) {
	layer := c.content.layer(ocispec.MediaTypeImageLayerGzip)
	o := c.content.manifest(c.content.config(ocispec.MediaTypeImageConfig), []blob{layer}, func(m *ocispec.Manifest) {
		for range 1999 {
			m.Layers = append(m.Layers, layer.descriptor())
		}
	})
	c.push(c.repository(), o, "many-layers")
	c.wantManifest(c.repository(), "many-layers", o)
}
