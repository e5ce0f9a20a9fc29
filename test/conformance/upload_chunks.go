package conformance

import (
	"bytes"
	"fmt"
	"net/http"
	"strings"
)

var streamedChecks = []check{
	{"patch-then-put", streamThenPut},
	{"patches", streamTwice},
	{"patch-with-length", streamWithLength},
	{"patch-and-last-part-in-put", streamAndRest},
	{"large", streamLarge},
}

// Docker Registry HTTP API V2, Stream upload: one PATCH that says neither how much nor
// where. Most clients push this way.
func streamThenPut(c *C) {
	b := c.content.blob(50_000)
	u := c.start(c.repository())
	u.wantAppended(u.stream(b.content))
	c.wantBlob(u.commit(b.digest, nil), b)
}

func streamTwice(c *C) {
	b := c.content.blob(50_000)
	u := c.start(c.repository())
	u.wantAppended(u.stream(b.content[:20_000]))
	u.wantAppended(u.stream(b.content[20_000:]))
	c.wantBlob(u.commit(b.digest, nil), b)
}

func streamWithLength(c *C) {
	b := c.content.blob(5000)
	u := c.start(c.repository())
	u.wantAppended(u.send(len(b.content), withBody(b.content), withHeader("Content-Type", octetStream)))
	c.wantBlob(u.commit(b.digest, nil), b)
}

func streamAndRest(c *C) {
	b := c.content.blob(5000)
	u := c.start(c.repository())
	u.wantAppended(u.stream(b.content[:3000]))
	c.wantBlob(u.commit(b.digest, b.content[3000:]), b)
}

func streamLarge(c *C) {
	b := c.content.blob(5<<20 + 5)
	u := c.start(c.repository())
	u.wantAppended(u.stream(b.content))
	c.wantBlob(u.commit(b.digest, nil), b)
}

var chunkedChecks = []check{
	{"chunks-then-put", chunksThenPut},
	{"last-chunk-in-put", chunksLastInPut},
	{"one-chunk", chunksOne},
	{"many-chunks", chunksMany},
	{"minimum", chunksMinimum},
	{"interleaved-sessions", chunksInterleaved},
}

// pieces cuts content into n chunks, the last of which may be shorter than the others.
// There are fewer when the registry wants larger ones.
func pieces(content []byte, n, least int) [][]byte {
	size := max(len(content)/n, least, 1)
	var all [][]byte
	for len(content) > size {
		all, content = append(all, content[:size]), content[size:]
	}
	return append(all, content)
}

// pushInChunks pushes a blob of a size in about n chunks, and none of it with the PUT.
func (c *C) pushInChunks(size, n int) {
	b := c.content.blob(size)
	u := c.start(c.repository())
	for _, piece := range pieces(b.content, n, u.chunk) {
		u.wantAppended(u.patch(piece))
	}
	c.wantBlob(u.commit(b.digest, nil), b)
}

// Pushing a blob in chunks: POST, PATCH …, PUT without content.
func chunksThenPut(c *C) { c.pushInChunks(30_001, 3) }

// Pushing a blob in chunks: "The final chunk … MAY be uploaded in the closing PUT".
func chunksLastInPut(c *C) {
	b := c.content.blob(30_001)
	u := c.start(c.repository())
	all := pieces(b.content, 3, u.chunk)
	for _, piece := range all[:len(all)-1] {
		u.wantAppended(u.patch(piece))
	}
	c.wantBlob(u.commit(b.digest, all[len(all)-1]), b)
}

func chunksOne(c *C) { c.pushInChunks(1000, 1) }

func chunksMany(c *C) { c.pushInChunks(40, 40) }

// Pushing a blob in chunks: OCI-Chunk-Min-Length is a number of bytes, and chunks of
// just that many are accepted.
func chunksMinimum(c *C) {
	u := c.start(c.repository())
	b := c.content.blob(2*u.chunk + 1)
	for _, piece := range pieces(b.content, len(b.content), u.chunk) {
		u.wantAppended(u.patch(piece))
	}
	c.wantBlob(u.commit(b.digest, nil), b)
}

// POST then PUT: a session ID is unique; what one session gets is not another's.
func chunksInterleaved(c *C) {
	one, other := c.content.blob(10_000), c.content.blob(10_000)
	u, v := c.start(c.repository()), c.start(c.repository())
	first, second := pieces(one.content, 2, u.chunk), pieces(other.content, 2, v.chunk)
	for i := range first {
		u.wantAppended(u.patch(first[i]))
		v.wantAppended(v.patch(second[i]))
	}
	c.wantBlob(v.commit(other.digest, nil), other)
	c.wantBlob(u.commit(one.digest, nil), one)
}

// Pushing a blob in chunks: "If a chunk is uploaded out of order, the registry MUST
// respond with a 416". The upload is not hurt by it.
var orderChecks = []check{
	{"first-not-at-zero", func(c *C) { outOfOrder(c, 0, 1) }},
	{"gap", func(c *C) { outOfOrder(c, 1, 1) }},
	{"again", func(c *C) { outOfOrder(c, 1, -1) }},
	{"overlap", orderOverlap},
	{"put", orderPut},
	{"malformed-range", orderMalformed},
	{"range-unlike-length", orderUnlikeLength},
}

// outOfOrder sends a chunk that is off by so many chunks after so many that are right,
// asks where the upload is, and completes it.
func outOfOrder(c *C, right, off int) {
	b := c.content.blob(9000)
	u := c.start(c.repository())
	all := pieces(b.content, 3, u.chunk)
	if len(all) < 3 {
		b = c.content.blob(3 * u.chunk)
		all = pieces(b.content, 3, u.chunk)
	}
	for _, piece := range all[:right] {
		u.wantAppended(u.patch(piece))
	}
	wrong := right + off
	c.want(u.patchAt(int64(wrong*len(all[0])), all[wrong]), http.StatusRequestedRangeNotSatisfiable)
	u.goOn(b)
}

// goOn asks how far an upload is, sends what is missing, and closes it.
func (u *upload) goOn(b blob) {
	u.c.Helper()
	a := u.status()
	u.c.must(a, http.StatusNoContent)
	if u.size > 0 {
		u.c.wantHeader(a, "Range", fmt.Sprintf("0-%d", u.size-1))
	}
	if rest := b.content[u.size:]; len(rest) > 0 {
		u.wantAppended(u.patch(rest))
	}
	u.c.wantBlob(u.commit(b.digest, nil), b)
}

func orderOverlap(c *C) {
	u := c.start(c.repository())
	b := c.content.blob(3 * max(3000, u.chunk))
	third := len(b.content) / 3
	u.wantAppended(u.patch(b.content[:third]))
	c.want(u.patchAt(int64(third/2), b.content[third/2:2*third]), http.StatusRequestedRangeNotSatisfiable)
	u.goOn(b)
}

// Endpoints (end-6): a last chunk in the PUT has an order too.
func orderPut(c *C) {
	u := c.start(c.repository())
	b := c.content.blob(2 * max(1000, u.chunk))
	half := len(b.content) / 2
	u.wantAppended(u.patch(b.content[:half]))
	a := c.do(http.MethodPut, addQuery(u.location, "digest", b.digest.String()), withBody(b.content[half:]),
		withHeader("Content-Type", octetStream), withHeader("Content-Range", fmt.Sprintf("%d-%d", half+1, len(b.content))))
	c.want(a, http.StatusRequestedRangeNotSatisfiable)
	u.goOn(b)
}

// Pushing a blob in chunks: a range has a form; one without it appends nothing.
func orderMalformed(c *C) {
	b := c.content.blob(2000)
	u := c.start(c.repository())
	for _, r := range []string{"abc", "0-", "-1999", "1999-0", "0--1", "0x0-1999", "0-99999999999999999999999", "0-1999, 3-4", "١-٢"} {
		a := u.send(len(b.content), withBody(b.content), withHeader("Content-Type", octetStream), withHeader("Content-Range", r))
		if !c.want(a, http.StatusBadRequest, http.StatusRequestedRangeNotSatisfiable) {
			c.Fatalf("the Content-Range was %q", r)
		}
	}
	u.goOn(b)
}

// Pushing a blob in chunks: the range is that of the chunk, inclusive on both ends.
func orderUnlikeLength(c *C) {
	b := c.content.blob(2000)
	for _, r := range []string{"0-9", "0-2000", "0-1998", "0-99999"} {
		u := c.start(c.repository())
		a := u.send(len(b.content), withBody(b.content), withHeader("Content-Type", octetStream), withHeader("Content-Range", r))
		if !c.want(a, http.StatusBadRequest, http.StatusRequestedRangeNotSatisfiable) {
			c.Errorf("the Content-Range was %q, the chunk had %d bytes", r, len(b.content))
		}
	}
	// Without a length the range alone says how much there will be.
	u := c.start(c.repository())
	a := c.do(http.MethodPatch, u.location, withStream(bytes.NewReader(b.content)), withHeader("Content-Range", "0-1999"))
	c.want(a, http.StatusAccepted)
	if a.status == http.StatusAccepted && !strings.HasSuffix(a.header.Get("Range"), "-1999") {
		c.Errorf("%s: Range is %q after 2000 bytes", a.asked, a.header.Get("Range"))
	}
}
