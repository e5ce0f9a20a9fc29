package conformance

import (
	"bytes"
	"fmt"
	"net/http"
	"net/url"
	"strconv"

	digest "github.com/opencontainers/go-digest"
)

// upload is a session of uploading a blob.
type upload struct {
	c        *C
	repo     string
	location string
	// size is what the registry has acknowledged.
	size int64
	// chunk is the least that a chunk may have which is not the last.
	chunk int
}

func uploadsOf(repo string) string { return "/v2/" + repo + "/blobs/uploads/" }

func blobPath(repo string, d digest.Digest) string {
	return "/v2/" + repo + "/blobs/" + d.String()
}

func manifestPath(repo, reference string) string { return "/v2/" + repo + "/manifests/" + reference }

// algorithmQuery announces an algorithm that is not the usual one.
func algorithmQuery(d digest.Digest) []string {
	if d.Algorithm() == digest.Canonical {
		return nil
	}
	return []string{"digest-algorithm", d.Algorithm().String()}
}

// start begins an upload; query has names and values.
func (c *C) start(repo string, query ...string) *upload {
	c.Helper()
	a := c.do(http.MethodPost, addQuery(uploadsOf(repo), query...), withBody(nil))
	c.must(a, http.StatusAccepted)
	return c.uploadOf(repo, a)
}

// uploadOf is the upload that an answer of 202 tells of.
func (c *C) uploadOf(repo string, a *answer) *upload {
	c.Helper()
	u := &upload{c: c, repo: repo, location: c.location(a), chunk: 1}
	if header := a.header.Get("OCI-Chunk-Min-Length"); header != "" {
		n, err := strconv.Atoi(header)
		if err != nil || n < 0 {
			c.Errorf("%s: OCI-Chunk-Min-Length is %q", a.asked, header)
		}
		u.chunk = max(n, 1)
	}
	return u
}

// patch sends a chunk that follows what is there.
func (u *upload) patch(content []byte) *answer {
	u.c.Helper()
	return u.patchAt(u.size, content)
}

// patchAt sends a chunk with the offset that it claims to have.
func (u *upload) patchAt(offset int64, content []byte) *answer {
	u.c.Helper()
	contentRange := fmt.Sprintf("%d-%d", offset, offset+int64(len(content))-1)
	return u.send(len(content), withBody(content), withHeader("Content-Type", octetStream), withHeader("Content-Range", contentRange))
}

// stream sends content without saying how much or where it belongs.
func (u *upload) stream(content []byte) *answer {
	u.c.Helper()
	return u.send(len(content), withStream(bytes.NewReader(content)), withHeader("Content-Type", octetStream))
}

// send is a PATCH; n is how much the upload grows by when it is accepted.
func (u *upload) send(n int, options ...option) *answer {
	u.c.Helper()
	a := u.c.do(http.MethodPatch, u.location, options...)
	if a.status == http.StatusAccepted {
		u.size += int64(n)
		u.location = u.c.location(a)
	}
	return a
}

// wantAppended looks at an answer that acknowledges content: Pushing a blob in chunks.
func (u *upload) wantAppended(a *answer) {
	u.c.Helper()
	u.c.must(a, http.StatusAccepted)
	u.c.wantHeader(a, "Range", fmt.Sprintf("0-%d", u.size-1))
}

// status asks how far the upload is, and goes on where the answer says.
func (u *upload) status() *answer {
	u.c.Helper()
	a := u.c.do(http.MethodGet, u.location, withScope("repository:"+u.repo+":pull,push"))
	if a.status == http.StatusNoContent {
		u.location = u.c.location(a)
	}
	return a
}

// commit closes the upload, the rest of the content being sent along.
func (u *upload) commit(d digest.Digest, rest []byte) *answer {
	u.c.Helper()
	options := []option{withBody(rest), withHeader("Content-Type", octetStream)}
	if u.size > 0 && len(rest) > 0 {
		options = append(options, withHeader("Content-Range", fmt.Sprintf("%d-%d", u.size, u.size+int64(len(rest))-1)))
	}
	return u.c.do(http.MethodPut, addQuery(u.location, "digest", d.String()), options...)
}

// cancel ends the upload without a blob.
func (u *upload) cancel() *answer {
	u.c.Helper()
	return u.c.do(http.MethodDelete, u.location)
}

// wantGone finds out whether the registry has forgotten the upload.
func (u *upload) wantGone() {
	u.c.Helper()
	for _, method := range []string{http.MethodGet, http.MethodPatch, http.MethodPut, http.MethodDelete} {
		location := u.location
		options := []option{withScope("repository:" + u.repo + ":pull,push")}
		switch method {
		case http.MethodPut:
			location = addQuery(location, "digest", digest.FromString("x").String())
			options = append(options, withBody([]byte("x")))
		case http.MethodPatch:
			options = append(options, withBody([]byte("x")), withHeader("Content-Range", fmt.Sprintf("%d-%d", u.size, u.size)))
		}
		u.c.wantError(u.c.do(method, location, options...), http.StatusNotFound, "BLOB_UPLOAD_UNKNOWN")
	}
}

// wantBlob looks at an answer that says where a blob is now, and reads it there.
func (c *C) wantBlob(a *answer, b blob) {
	c.Helper()
	c.must(a, http.StatusCreated)
	if header := a.header.Get("Docker-Content-Digest"); header != "" {
		if d, err := digest.Parse(header); err != nil || d.Algorithm().FromBytes(b.content) != d {
			c.Errorf("%s: Docker-Content-Digest %q is not of what was pushed (%s)", a.asked, header, b.digest)
		}
	}
	location := c.location(a)
	read := c.do(http.MethodGet, location)
	if c.want(read, http.StatusOK) && !bytes.Equal(read.body, b.content) {
		c.Errorf("GET %s, the Location of %s, has %d bytes that are not those of the blob", location, a.asked, len(read.body))
	}
}

// pushBlob pushes with POST and PUT, and ends the check if that fails.
func (c *C) pushBlob(repo string, b blob) {
	c.Helper()
	u := c.start(repo, algorithmQuery(b.digest)...)
	c.must(u.commit(b.digest, b.content), http.StatusCreated)
}

// pushBlobs pushes what an object needs: its blobs, and its children with theirs.
func (c *C) pushBlobs(repo string, o *object) {
	c.Helper()
	for _, b := range o.blobs {
		c.pushBlob(repo, b)
	}
	for _, child := range o.children {
		c.push(repo, child, child.digest.String())
	}
}

// put pushes a manifest alone.
func (c *C) put(repo string, o *object, reference string, options ...option) *answer {
	c.Helper()
	return c.do(http.MethodPut, manifestPath(repo, reference), append([]option{withBody(o.content), withHeader("Content-Type", o.mediaType)}, options...)...)
}

// push pushes an object with all it needs under references, or by its digest without
// any, and ends the check if that fails.
func (c *C) push(repo string, o *object, references ...string) {
	c.Helper()
	c.pushBlobs(repo, o)
	if len(references) == 0 {
		references = []string{o.digest.String()}
	}
	for _, reference := range references {
		c.must(c.put(repo, o, reference), http.StatusCreated)
	}
}

// wantNoBlob tells a finding when a repository has a blob.
func (c *C) wantNoBlob(repo string, d digest.Digest) {
	c.Helper()
	c.wantError(c.do(http.MethodHead, blobPath(repo, d)), http.StatusNotFound)
	c.wantError(c.do(http.MethodGet, blobPath(repo, d)), http.StatusNotFound, "BLOB_UNKNOWN", "NAME_UNKNOWN")
}

// wantNoManifest tells a finding when a repository has a manifest.
func (c *C) wantNoManifest(repo, reference string) {
	c.Helper()
	c.wantError(c.head(repo, reference), http.StatusNotFound)
	c.wantError(c.get(repo, reference), http.StatusNotFound, "MANIFEST_UNKNOWN", "NAME_UNKNOWN")
}

// wantManifest tells a finding unless a repository has exactly that manifest.
func (c *C) wantManifest(repo, reference string, o *object) {
	c.Helper()
	a := c.get(repo, reference)
	if c.want(a, http.StatusOK) && !bytes.Equal(a.body, o.content) {
		c.Errorf("%s: %d bytes that are not those of the manifest %s:\n%s", a.asked, len(a.body), o.digest, excerpt(a.body))
	}
}

// allManifests is the Accept header of a client that takes everything.
var allManifests = []string{"application/vnd.oci.image.index.v1+json", "application/vnd.oci.image.manifest.v1+json", dockerList, dockerManifest}

func accepting(types ...string) option {
	return func(k *call) {
		for _, t := range types {
			k.header.Add("Accept", t)
		}
	}
}

// get reads a manifest as a client does that takes all kinds.
func (c *C) get(repo, reference string) *answer {
	c.Helper()
	return c.do(http.MethodGet, manifestPath(repo, url.PathEscape(reference)), accepting(allManifests...))
}

func (c *C) head(repo, reference string) *answer {
	c.Helper()
	return c.do(http.MethodHead, manifestPath(repo, url.PathEscape(reference)), accepting(allManifests...))
}
