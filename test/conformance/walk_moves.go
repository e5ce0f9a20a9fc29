package conformance

import (
	"fmt"
	"maps"
	"net/http"
	"slices"

	digest "github.com/opencontainers/go-digest"
)

// tag is one of few names of this walker's.
func (w *walker) tag() string { return fmt.Sprintf("w%d-%d", w.id, w.random.IntN(6)) }

// image is of shared layers and of one of its own, all of them pushed.
func (w *walker) image(repo string, m *acknowledged) *object {
	g := w.c.content
	if w.random.IntN(4) == 0 {
		g = g.with(digest.SHA512)
	}
	layers := []blob{g.blob(300)}
	for range w.random.IntN(3) {
		layers = append(layers, pick(w, w.pool))
	}
	o := g.manifest(g.config("application/vnd.oci.image.config.v1+json"), layers)
	for _, b := range o.blobs {
		w.pushBlob(repo, m, b)
	}
	return o
}

// pushBlob pushes in a random way, or not when it is there.
func (w *walker) pushBlob(repo string, m *acknowledged, b blob) {
	if m.pushed[b.digest] && w.random.IntN(3) > 0 {
		w.c.want(w.c.do(http.MethodHead, blobPath(repo, b.digest)), http.StatusOK)
		return
	}
	for other, theirs := range w.model {
		if other != repo && theirs.pushed[b.digest] && w.random.IntN(2) == 0 {
			w.c.wantBlob(w.c.mount(repo, b.digest.String(), other), b)
			m.pushed[b.digest] = true
			return
		}
	}
	w.c.pushBlobWay(repo, b, w.random.IntN(4)) // all ways but that by the target's second repository
	m.pushed[b.digest] = true
}

func (m *acknowledged) add(o *object, tags ...string) {
	if !slices.ContainsFunc(m.live, func(x *object) bool { return x.digest == o.digest }) {
		m.live = append(m.live, o)
	}
	for _, tag := range tags {
		m.tags[tag] = o
	}
}

func (w *walker) pushByTag(repo string, m *acknowledged) {
	o, tag := w.image(repo, m), w.tag()
	o.digest = digest.FromBytes(o.content) // a tag leaves the algorithm to the registry
	w.c.wantPut(w.c.put(repo, o, tag), o)
	m.add(o, tag)
}

func (w *walker) pushByDigest(repo string, m *acknowledged) {
	o := w.image(repo, m)
	w.c.wantPut(w.c.put(repo, o, o.digest.String()), o)
	m.add(o)
}

func (w *walker) pushWithTags(repo string, m *acknowledged) {
	o, one, other := w.image(repo, m), w.tag(), w.tag()+"-p"
	a := w.c.putTagged(repo, o, one, other)
	w.c.wantPut(a, o)
	w.c.wantTags(a, one, other)
	m.add(o, one, other)
}

func (w *walker) pushIndex(repo string, m *acknowledged) {
	var children []*object
	for range w.random.IntN(3) {
		if len(m.live) > 0 {
			children = append(children, pick(w, m.live))
		}
	}
	o := w.c.content.index(children)
	tag := w.tag()
	w.c.wantPut(w.c.put(repo, o, tag), o)
	m.add(o, tag)
}

func (w *walker) pushReferrer(repo string, m *acknowledged) {
	subject := w.c.content.index(nil) // never pushed
	if len(m.live) > 0 && w.random.IntN(4) > 0 {
		subject = pick(w, m.live)
	}
	o := w.c.content.index(nil, indexOf(subject))
	w.c.pushReferrer(repo, o)
	m.add(o)
}

func (w *walker) moveTag(repo string, m *acknowledged) {
	if len(m.live) == 0 {
		return
	}
	o, tag := pick(w, m.live), w.tag()
	if o.digest.Algorithm() != digest.Canonical {
		w.c.must(w.c.putTagged(repo, o, tag), http.StatusCreated)
	} else {
		w.c.must(w.c.put(repo, o, tag), http.StatusCreated)
	}
	m.tags[tag] = o
	w.c.wantManifest(repo, tag, o)
}

func (w *walker) deleteTag(repo string, m *acknowledged) {
	if len(m.tags) == 0 {
		return
	}
	tag := pick(w, slices.Sorted(maps.Keys(m.tags)))
	w.c.must(w.c.do(http.MethodDelete, manifestPath(repo, tag)), http.StatusAccepted)
	o := m.tags[tag]
	delete(m.tags, tag)
	w.c.wantNoManifest(repo, tag)
	w.c.wantManifest(repo, o.digest.String(), o)
}

func (w *walker) deleteManifest(repo string, m *acknowledged) {
	if len(m.live) == 0 {
		return
	}
	at := w.random.IntN(len(m.live))
	o := m.live[at]
	w.c.deleteManifest(repo, o)
	m.live = slices.Delete(m.live, at, at+1)
	m.gone = append(m.gone, o)
	maps.DeleteFunc(m.tags, func(_ string, x *object) bool { return x.digest == o.digest })
	w.c.wantNoManifest(repo, o.digest.String())
}

func (w *walker) deleteBlob(repo string, m *acknowledged) {
	b := w.c.content.blob(100)
	w.c.pushBlobWay(repo, b, w.random.IntN(4))
	w.c.must(w.c.do(http.MethodDelete, blobPath(repo, b.digest)), http.StatusAccepted)
	m.removed = append(m.removed, b.digest)
	w.c.wantNoBlob(repo, b.digest)
}

func (w *walker) read(repo string, m *acknowledged) {
	for tag, o := range m.tags {
		w.c.readBack(repo, &object{mediaType: o.mediaType, content: o.content, digest: o.digest, blobs: o.blobs}, []string{tag})
		break
	}
	if len(m.live) > 0 {
		o := pick(w, m.live)
		w.c.wantManifest(repo, o.digest.String(), o)
	}
}

// list looks for the walker's own tags; others come and go.
func (w *walker) list(repo string, m *acknowledged) {
	if len(m.tags) == 0 {
		return
	}
	all := w.c.tags(repo)
	for tag := range m.tags {
		if !slices.Contains(all, tag) {
			w.c.Errorf("the tag %s of %s is not listed: %q", tag, repo, all)
		}
	}
}

func (w *walker) lookForNothing(repo string, m *acknowledged) {
	w.c.wantNoManifest(repo, w.c.content.unknownDigest().String())
	w.c.wantNoBlob(repo, w.c.content.unknownDigest())
	for other, theirs := range w.model {
		if other == repo || len(theirs.live) == 0 {
			continue
		}
		o := pick(w, theirs.live)
		if !slices.ContainsFunc(append(m.live, m.gone...), func(x *object) bool { return x.digest == o.digest }) {
			w.c.wantNoManifest(repo, o.digest.String())
		}
	}
}

func (w *walker) leaveUpload(repo string, _ *acknowledged) {
	b := w.c.content.blob(900)
	u := w.c.start(repo)
	w.c.must(u.stream(b.content), http.StatusAccepted)
	if w.random.IntN(2) == 0 {
		w.c.must(u.cancel(), http.StatusNoContent)
	}
	w.strange = append(w.strange, b.digest)
	w.c.wantNoBlob(repo, b.digest)
}

func (w *walker) beRefused(repo string, m *acknowledged) {
	o := w.image(repo, m)
	if w.random.IntN(2) == 0 {
		wrong := *o
		wrong.digest = w.c.content.unknownDigest()
		w.c.wantError(w.c.put(repo, &wrong, wrong.digest.String()), http.StatusBadRequest, "DIGEST_INVALID")
		w.strange = append(w.strange, wrong.digest)
	} else {
		b, wrong := w.c.content.blob(50), w.c.content.unknownDigest()
		u := w.c.start(repo)
		w.c.wantError(u.commit(wrong, b.content), http.StatusBadRequest, "DIGEST_INVALID")
		w.strange = append(w.strange, b.digest, wrong)
	}
}
