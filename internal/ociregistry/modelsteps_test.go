package ociregistry_test

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	digest "github.com/opencontainers/go-digest"

	"weir.dev/weir/internal/blobstore"
	"weir.dev/weir/internal/ociregistry"
	"weir.dev/weir/internal/reference"
)

// step is one thing that happens to the world. Each tells the oracle what it means.
func (w *world) step() {
	repo := pick(w.dice, modelRepos)
	switch w.dice.IntN(20) {
	case 0, 1, 2, 3:
		w.upload(repo, pick(w.dice, w.oracle.blobs))
	case 4, 5, 6, 7, 8:
		w.push(repo, pick(w.dice, w.oracle.manifests), w.dice.IntN(4) > 0)
	case 9:
		w.mount(pick(w.dice, modelRepos), repo, pick(w.dice, w.oracle.blobs))
	case 10, 11, 12:
		w.copyTag(pick(w.dice, modelRepos), repo)
	case 13:
		w.importImage(repo, pick(w.dice, w.oracle.manifests), pick(w.dice, modelSources))
	case 14:
		w.forge(repo, pick(w.dice, w.oracle.manifests))
	case 15:
		w.deleteContent(repo, pick(w.dice, w.contents()))
	case 16:
		w.deleteTag(repo)
	case 17:
		w.deleteStream(repo)
	case 18:
		w.cleanUp()
	case 19:
		if w.dice.IntN(3) == 0 {
			w.deleteNamespace(pick(w.dice, []string{"a", "b"}))
		} else {
			w.note("restart")
			w.restart()
		}
	}
}

func (w *world) upload(repo string, d digest.Digest) {
	w.note("upload %s to %s", w.short(d), repo)
	w.must(http.StatusCreated, w.do(http.MethodPost, "/v2/"+repo+"/blobs/uploads/?digest="+d.String(), w.oracle.content[d]))
	r := w.view(repo).repository
	w.oracle.data[d] = true
	w.oracle.link(owner{r.Name, r.Namespace}, d, false)
}

func (w *world) must(want, got int) {
	if want != got {
		w.t.Errorf("after %q: status %d, want %d", w.log[len(w.log)-1], got, want)
	}
}

// push pushes a manifest after uploading whatever parts are not readable, or only some.
func (w *world) push(repo string, m digest.Digest, whole bool) {
	if whole {
		for _, child := range w.oracle.parts[m].children {
			if reason, _ := w.oracle.reads(w.view(repo), child, true); reason == 0 && w.dice.IntN(3) > 0 {
				w.push(repo, child, true)
			}
		}
		for _, d := range w.oracle.parts[m].needed {
			if reason, _ := w.oracle.reads(w.view(repo), d, false); reason == 0 {
				w.upload(repo, d)
			}
		}
	}
	target := pick(w.dice, []string{"t1", "t2", m.String()})
	w.note("push %s to %s as %.5s", w.short(m), repo, target)
	want := http.StatusNotFound
	if w.canPush(repo, m) {
		want = http.StatusCreated
	}
	v := w.view(repo)
	got := w.do(http.MethodPut, "/v2/"+repo+"/manifests/"+target, w.oracle.content[m])
	w.must(want, got)
	w.linkPushed(v, m, 0)
	if got == http.StatusCreated {
		if now := w.view(repo); now.repository.Stream != v.repository.Stream {
			w.linkPushed(now, m, 0) // the push made the stream
		}
	}
}

// canPush reports whether all that a manifest needs can be read.
func (w *world) canPush(repo string, m digest.Digest) bool {
	return !slices.ContainsFunc(w.oracle.parts[m].needed, func(d digest.Digest) bool {
		reason, _ := w.oracle.reads(w.view(repo), d, false)
		return reason == 0
	})
}

// linkPushed is what a push links: the parts that are readable and, if it has all that it
// needs, its manifests and itself. It reports whether it has.
func (w *world) linkPushed(v *streamView, m digest.Digest, depth int) bool {
	at := owner{v.repository.Name, v.repository.Owner()}
	whole := true
	parts := w.oracle.parts[m]
	for _, d := range slices.Concat(parts.needed, parts.optional) {
		reason, _ := w.oracle.reads(v, d, false)
		if reason == 3 {
			w.fetched(v, d, false)
		}
		if reason != 0 {
			w.linkTo(v, at, d, false)
		} else if slices.Contains(parts.needed, d) {
			whole = false
		}
	}
	if !whole {
		return false
	}
	for _, child := range parts.children {
		if w.oracle.linked(at, child, true) {
			continue
		}
		if reason, _ := w.oracle.reads(v, child, true); reason != 0 {
			if reason == 3 {
				w.fetched(v, child, true)
			}
			w.linkPushed(v, child, depth+1)
		}
	}
	w.oracle.data[m] = true
	w.linkTo(v, at, m, true)
	return true
}

// linkTo makes the link the owner's; the namespace's becomes the stream's.
func (w *world) linkTo(v *streamView, at owner, d digest.Digest, isManifest bool) {
	w.oracle.link(at, d, isManifest)
	if v.repository.Stream != "" {
		delete(w.oracle.links[owner{at.repo, v.repository.Namespace}], what(d, isManifest))
	}
}

func (w *world) mount(from, to string, d digest.Digest) {
	w.note("mount %s from %s to %s", w.short(d), from, to)
	reason, _ := w.oracle.reads(w.view(from), d, false)
	want := http.StatusAccepted
	if reason == 1 || reason == 2 || reason == 3 && w.cameTo(w.view(from), d) {
		want = http.StatusCreated
	}
	got := w.do(http.MethodPost, "/v2/"+to+"/blobs/uploads/?mount="+d.String()+"&from="+from, nil)
	w.must(want, got)
	if got == http.StatusCreated {
		r := w.view(to).repository
		w.oracle.link(owner{r.Name, r.Namespace}, d, false)
	}
}

// cameTo reports whether storage has a blob from a source of the stream.
func (w *world) cameTo(v *streamView, d digest.Digest) bool {
	for _, m := range v.images {
		for _, s := range v.sources[m] {
			if w.oracle.leadsTo(m, d, false) && w.oracle.came[s.Ref.Registry+d.String()] {
				return true
			}
		}
	}
	return false
}

// copyTag copies a tag of a stream to another one, as its writer may.
func (w *world) copyTag(from, to string) {
	v := w.view(from)
	var tags []string
	for tag := range v.tags {
		tags = append(tags, tag)
	}
	if from == to || len(tags) == 0 {
		return
	}
	slices.Sort(tags)
	m := v.tags[pick(w.dice, tags)]
	w.note("copy %s of %s to %s", w.short(m), from, to)
	w.directory.copied(w.name(from), w.name(to), "copy", m)
}

func (w *world) importImage(repo string, m digest.Digest, from string) {
	whole := true
	w.oracle.closure(m, func(d digest.Digest, isManifest bool) {
		whole = whole && (!isManifest || w.oracle.has[from+d.String()])
	})
	if !whole {
		return // the import fails
	}
	w.note("import %s from %s into %s", w.short(m), from, repo)
	w.oracle.closure(m, func(d digest.Digest, isManifest bool) {
		if isManifest {
			w.directory.mu.Lock()
			defer w.directory.mu.Unlock()
			w.directory.describe(d, w.oracle.content[d])
		}
	})
	source := ociregistry.Source{Ref: reference.PullSpec{Registry: from, Namespace: "x", Name: "y"}, Mirror: true}
	w.directory.imported(w.name(repo), "imported", w.oracle.content[m], source)
}

// forge makes an image the stream's own, as mappings and status writes can.
func (w *world) forge(repo string, m digest.Digest) {
	w.note("forge %s in %s", w.short(m), repo)
	w.directory.mu.Lock()
	defer w.directory.mu.Unlock()
	w.directory.describe(m, w.oracle.content[m])
	w.directory.tag(w.directory.ensure(w.name(repo)), "forged", m)
}

func (w *world) deleteContent(repo string, d digest.Digest) {
	isManifest := slices.Contains(w.oracle.manifests, d)
	route := map[bool]string{true: "manifests", false: "blobs"}[isManifest]
	w.note("delete %s of %s", w.short(d), repo)
	v := w.view(repo)
	w.do(http.MethodDelete, "/v2/"+repo+"/"+route+"/"+d.String(), nil)
	linked := false
	for _, uid := range []string{v.repository.Stream, v.repository.Namespace} {
		linked = linked || w.oracle.linked(owner{repo, uid}, d, isManifest)
		delete(w.oracle.links[owner{repo, uid}], what(d, isManifest))
	}
	if linked && v.repository.Stream != "" {
		w.oracle.link(owner{repo, v.repository.Stream}.released(), d, isManifest)
	}
}

// handOver links what streams with copies have of a source.
func (w *world) handOver(from owner) {
	for _, repo := range modelRepos {
		v := w.view(repo)
		for _, m := range v.images {
			if slices.Contains(v.copies[m], blobstore.Repository{Name: from.repo, Stream: from.uid}) {
				w.handOverImage(from, owner{repo, v.repository.Stream}, m)
			}
		}
	}
}

func (w *world) handOverImage(from, to owner, m digest.Digest) {
	if !w.oracle.linkedForCopies(from, m, true) {
		return
	}
	parts := w.oracle.parts[m]
	for _, d := range slices.Concat(parts.needed, parts.optional) {
		if w.oracle.linkedForCopies(from, d, false) {
			w.oracle.link(to, d, false)
		}
	}
	for _, child := range parts.children {
		w.handOverImage(from, to, child)
	}
	w.oracle.link(to, m, true)
}

func (w *world) deleteTag(repo string) {
	tag := pick(w.dice, []string{"t1", "t2", "copy", "imported", "forged"})
	w.note("delete tag %s of %s", tag, repo)
	w.do(http.MethodDelete, "/v2/"+repo+"/manifests/"+tag, nil)
}

func (w *world) deleteStream(repo string) {
	if w.view(repo).repository.Stream == "" {
		return
	}
	w.note("delete stream %s", repo)
	w.gone = append(w.gone, w.directory.deleted(w.name(repo)))
}

func (w *world) deleteNamespace(namespace string) {
	w.note("delete and make namespace %s", namespace)
	for _, repo := range modelRepos {
		if strings.HasPrefix(repo, namespace+"/") {
			w.deleteStream(repo)
		}
	}
	w.directory.mu.Lock()
	defer w.directory.mu.Unlock()
	w.directory.generations[namespace]++
	for _, s := range w.directory.streams {
		s.view = nil
	}
}

// cleanUp removes the links of what is gone: of the streams whose end was seen, which
// spares young uploads, or of all that a reconciliation finds.
func (w *world) cleanUp() {
	if w.dice.IntN(2) == 0 {
		for _, r := range w.gone {
			w.note("remove %s of %s", r.Stream, r.Name)
			if err := w.handler().Remove(w.t.Context(), r, time.Now()); err != nil {
				w.t.Error(err)
			}
			w.removed(owner{r.Name, r.Stream})
		}
		w.gone = nil
		return
	}
	w.note("reconcile")
	if err := w.handler().Reconcile(w.t.Context()); err != nil {
		w.t.Error(err)
	}
	for repo := range w.oracle.folders { // the stream takes links without an owner
		if r := w.view(repo).repository; r.Stream != "" {
			w.oracle.owns(owner{repo, r.Stream})
		}
	}
	for at := range w.oracle.links {
		r := w.view(at.repo).repository
		uid, released := strings.CutSuffix(at.uid, "-released")
		switch {
		case at.uid == r.Stream, at.uid == r.Namespace:
		case released && uid == r.Stream:
			w.handOver(owner{at.repo, uid})
			delete(w.oracle.links, at)
		default:
			w.removed(owner{at.repo, uid})
			delete(w.oracle.links, owner{at.repo, r.Namespace})
		}
	}
}

func (w *world) removed(at owner) {
	w.handOver(at)
	delete(w.oracle.links, at)
	delete(w.oracle.links, at.released())
}

// TestTenantsDoNotNotice holds that what one tenant does changes no answer, no text and no
// status given to another.
func TestTenantsDoNotNotice(t *testing.T) {
	u := newUniverse(t)
	for seed := range uint64(150) {
		said := map[bool]string{}
		for _, alone := range []bool{true, false} {
			w := newWorld(t, u, seed)
			w.handlers = w.handlers[:1]
			dice := w.dice
			for n := range 12 {
				// Both worlds throw the same dice for what b does; what a does comes between.
				if !alone {
					w.dice = newDice(seed*1000 + uint64(n))
					w.onlyOf("a/")
				}
				w.dice = dice
				w.onlyOf("b/")
			}
			for _, repo := range modelRepos[2:] {
				for _, d := range w.contents() {
					for _, route := range []string{"blobs", "manifests"} {
						w.do(http.MethodGet, fmt.Sprintf("/v2/%s/%s/%s", repo, route, d), nil)
					}
				}
			}
			said[alone] = withoutIDs(w.said.String())
		}
		if said[true] != said[false] {
			t.Fatalf("history %d: tenant b is told\n%s\ninstead of\n%s", seed, said[false], said[true])
		}
	}
}

func newDice(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 2)) }

// withoutIDs drops the names of requests, which are random.
func withoutIDs(said string) string { return requestID.ReplaceAllString(said, "") }

var requestID = regexp.MustCompile(`"request":"[^"]*"`)

// onlyOf has a tenant do one thing to its own repositories.
func (w *world) onlyOf(prefix string) {
	var repos []string
	for _, repo := range modelRepos {
		if strings.HasPrefix(repo, prefix) {
			repos = append(repos, repo)
		}
	}
	repo := pick(w.dice, repos)
	switch w.dice.IntN(7) {
	case 0, 1:
		w.upload(repo, pick(w.dice, w.oracle.blobs))
	case 2, 3:
		target := pick(w.dice, []string{"t1", "t2"})
		m := pick(w.dice, w.oracle.manifests)
		w.note("push %s to %s", w.short(m), repo)
		w.do(http.MethodPut, "/v2/"+repo+"/manifests/"+target, w.oracle.content[m])
	case 4:
		w.mount(pick(w.dice, repos), repo, pick(w.dice, w.oracle.blobs))
	case 5:
		w.deleteContent(repo, pick(w.dice, w.contents()))
	case 6:
		w.deleteTag(repo)
	}
}
