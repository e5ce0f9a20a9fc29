package ociregistry_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	storagedriver "github.com/distribution/distribution/v3/registry/storage/driver"
	"github.com/distribution/distribution/v3/registry/storage/driver/inmemory"
	digest "github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"weir.dev/weir/internal/blobstore"
	"weir.dev/weir/internal/ociregistry"
	"weir.dev/weir/internal/reference"
)

// modelHistories is how many histories TestModel plays; WEIR_MODEL_HISTORIES plays more.
const modelHistories = 700

// modelRepos are the repositories of two tenants, the namespaces a and b.
var modelRepos = []string{"a/app", "a/web", "b/app", "b/web"}

// universe is the content of all histories.
type universe struct {
	blobs     []digest.Digest
	manifests []digest.Digest // children before the lists that name them
	content   map[digest.Digest][]byte
	parts     map[digest.Digest]modelParts
}

// modelParts are the parts of a manifest.
type modelParts struct{ needed, optional, children []digest.Digest }

func newUniverse(t testing.TB) *universe {
	u := &universe{content: map[digest.Digest][]byte{}, parts: map[digest.Digest]modelParts{}}
	blob := func(text string) digest.Digest {
		d := digest.FromString(text)
		u.content[d] = []byte(text)
		u.blobs = append(u.blobs, d)
		return d
	}
	layer := func(d digest.Digest, mediaType string) ocispec.Descriptor {
		return ocispec.Descriptor{MediaType: mediaType, Digest: d, Size: int64(len(u.content[d]))}
	}
	add := func(v any, p modelParts) digest.Digest {
		content := encode(t, v)
		d := digest.FromBytes(content)
		u.content[d], u.parts[d] = content, p
		u.manifests = append(u.manifests, d)
		return d
	}
	image := func(config digest.Digest, layers []digest.Digest, foreign ...digest.Digest) digest.Digest {
		m := ocispec.Manifest{MediaType: ocispec.MediaTypeImageManifest, Config: layer(config, ocispec.MediaTypeImageConfig)}
		m.SchemaVersion = 2
		for _, d := range layers {
			m.Layers = append(m.Layers, layer(d, ocispec.MediaTypeImageLayer))
		}
		for _, d := range foreign {
			m.Layers = append(m.Layers, layer(d, "application/vnd.oci.image.layer.nondistributable.v1.tar"))
		}
		return add(m, modelParts{needed: append([]digest.Digest{config}, layers...), optional: foreign})
	}
	list := func(children ...digest.Digest) digest.Digest {
		i := ocispec.Index{MediaType: ocispec.MediaTypeImageIndex, Manifests: []ocispec.Descriptor{}}
		i.SchemaVersion = 2
		for _, d := range children {
			i.Manifests = append(i.Manifests, layer(d, mediaTypeIn(u.content[d])))
		}
		return add(i, modelParts{children: children})
	}
	c0, c1 := blob(`{"os":"linux","n":"0"}`), blob(`{"os":"linux","n":"1"}`)
	l0, l1, l2, l3 := blob("layer 0"), blob("layer 1"), blob("layer 2"), blob("layer 3")
	m0, m1 := image(c0, []digest.Digest{l0, l1}), image(c1, []digest.Digest{l1, l2})
	m2 := image(c1, []digest.Digest{l0}, l3)
	i0 := list(m0, m1)
	list(m2, i0)
	list(m2)
	return u
}

// closure calls visit for a manifest and all that it leads to.
func (u *universe) closure(m digest.Digest, visit func(d digest.Digest, isManifest bool)) {
	visit(m, true)
	p := u.parts[m]
	for _, d := range slices.Concat(p.needed, p.optional) {
		visit(d, false)
	}
	for _, child := range p.children {
		u.closure(child, visit)
	}
}

func (u *universe) leadsTo(m, d digest.Digest, isManifest bool) (found bool) {
	u.closure(m, func(other digest.Digest, other2 bool) { found = found || other == d && other2 == isManifest })
	return found
}

// owner is a stream, or a namespace for uploads, that has links in a repository.
type owner struct{ repo, uid string }

// oracle knows what may be read: the rule, over sets.
type oracle struct {
	*universe
	links map[owner]map[string]bool // by what
	// folders are the repositories that ever had a link.
	folders map[string]bool
	came    map[string]bool        // by digest and source
	has     map[string]bool        // what sources have, the same
	data    map[digest.Digest]bool // what storage has
}

func what(d digest.Digest, isManifest bool) string { return fmt.Sprint(isManifest, d) }

func (o *oracle) linked(at owner, d digest.Digest, isManifest bool) bool {
	return o.links[at][what(d, isManifest)]
}

func (o *oracle) link(at owner, d digest.Digest, isManifest bool) {
	o.owns(at)
	o.links[at][what(d, isManifest)] = true
}

// owns notes an owner, which may have no link.
func (o *oracle) owns(at owner) {
	if o.links[at] == nil {
		o.links[at] = map[string]bool{}
	}
	if o.folders == nil {
		o.folders = map[string]bool{}
	}
	o.folders[at.repo] = true
}

// reads is the rule: whether the digest may be read, and for which of three reasons.
func (o *oracle) reads(v *streamView, d digest.Digest, isManifest bool) (reason int, source string) {
	r := v.repository
	if o.linked(owner{r.Name, r.Stream}, d, isManifest) || o.linked(owner{r.Name, r.Namespace}, d, isManifest) {
		return 1, ""
	}
	for _, m := range v.images {
		for _, from := range v.copies[m] {
			if o.hasPart(owner{from.Name, from.Stream}, m, d, isManifest) {
				return 2, ""
			}
		}
	}
	for _, m := range v.images {
		for _, s := range v.sources[m] {
			name := s.Ref.Registry
			if o.leadsTo(m, d, isManifest) && (o.has[name+d.String()] || o.came[name+d.String()]) {
				return 3, name
			}
		}
	}
	return 0, ""
}

// released is the owner of links that were deleted.
func (at owner) released() owner { return owner{at.repo, at.uid + "-released"} }

// gave reports whether an owner has a link, or had it until it was deleted.
func (o *oracle) linkedForCopies(at owner, d digest.Digest, isManifest bool) bool {
	return o.linked(at, d, isManifest) || o.linked(at.released(), d, isManifest)
}

// hasPart reports whether an owner gave an image, d, and what is between them.
func (o *oracle) hasPart(at owner, m, d digest.Digest, isManifest bool) bool {
	if !o.linkedForCopies(at, m, true) {
		return false
	}
	p := o.parts[m]
	if isManifest && m == d || !isManifest && slices.Contains(slices.Concat(p.needed, p.optional), d) {
		return o.linkedForCopies(at, d, isManifest)
	}
	return slices.ContainsFunc(p.children, func(child digest.Digest) bool { return o.hasPart(at, child, d, isManifest) })
}

// world is a registry with two processes over one storage, and the oracle beside it.
type world struct {
	t         *testing.T
	driver    storagedriver.StorageDriver
	directory *directory
	handlers  []*ociregistry.Handler
	oracle    *oracle
	dice      *rand.Rand
	gone      []blobstore.Repository // streams that were deleted, and not yet released
	log       []string
	said      bytes.Buffer // statuses and bodies of the answers to tenant b
}

func newWorld(t *testing.T, u *universe, seed uint64) *world {
	w := &world{
		t: t, driver: inmemory.New(), directory: newDirectory(), dice: rand.New(rand.NewPCG(seed, 1)),
		oracle: &oracle{universe: u, links: map[owner]map[string]bool{}, came: map[string]bool{}, has: map[string]bool{}, data: map[digest.Digest]bool{}},
	}
	for _, name := range modelSources {
		for d := range u.content {
			if w.dice.IntN(3) > 0 {
				w.oracle.has[name+d.String()] = true
			}
		}
	}
	w.restart()
	return w
}

// modelSources are other registries. What they have differs between histories.
var modelSources = []string{"one.example", "two.example"}

// restart starts both processes anew, without anything in memory.
func (w *world) restart() {
	w.handlers = nil
	for range 2 {
		store, err := blobstore.New(blobstore.Options{Driver: w.driver, CacheFor: time.Nanosecond})
		if err != nil {
			w.t.Fatal(err)
		}
		h, err := ociregistry.New(ociregistry.Options{
			Store: store, Directory: w.directory, Access: newAccess(), Upstream: &modelUpstream{w, store},
			// No grace is left for what a reconciliation finds.
			Now: func() time.Time { return time.Now().Add(2 * time.Hour) },
		})
		if err != nil {
			w.t.Fatal(err)
		}
		w.handlers = append(w.handlers, h)
	}
}

func (w *world) handler() *ociregistry.Handler { return w.handlers[w.dice.IntN(len(w.handlers))] }

func (w *world) do(method, path string, body []byte) int {
	r := httptest.NewRequest(method, path, bytes.NewReader(body))
	r.Header.Set("Authorization", "Bearer admin")
	if strings.Contains(path, "/manifests/") && method == http.MethodPut {
		r.Header.Set("Content-Type", mediaTypeIn(body))
	}
	answer := httptest.NewRecorder()
	w.handler().ServeHTTP(answer, r)
	if strings.HasPrefix(path, "/v2/b/") {
		fmt.Fprintf(&w.said, "%s %s %d %s\n", method, path, answer.Code, answer.Body)
	}
	return answer.Code
}

func (w *world) name(repo string) reference.Repository {
	name, err := reference.ParseRepository(repo)
	if err != nil {
		w.t.Fatal(err)
	}
	return name
}

func (w *world) view(repo string) *streamView {
	w.directory.mu.Lock()
	defer w.directory.mu.Unlock()
	return w.directory.view(w.name(repo))
}

// modelUpstream are the other registries, each of which has some of the content.
type modelUpstream struct {
	w     *world
	store *blobstore.Store
}

func (m *modelUpstream) get(ctx context.Context, wanted ociregistry.Wanted) ([]byte, error) {
	for _, s := range wanted.Sources {
		name := s.Ref.Registry
		if s.Disabled || !m.w.oracle.has[name+wanted.Digest.String()] {
			continue
		}
		content := m.w.oracle.content[wanted.Digest]
		if err := m.store.Put(ctx, wanted.Digest, content); err != nil {
			return nil, err
		}
		return content, m.store.AddProvenance(ctx, wanted.Digest, s.Provenance(""))
	}
	code := ociregistry.CodeBlobUnknown
	if wanted.Manifest {
		code = ociregistry.CodeManifestUnknown
	}
	return nil, ociregistry.NewError(code, "no other registry has it")
}

func (m *modelUpstream) Manifest(ctx context.Context, wanted ociregistry.Wanted) ([]byte, string, error) {
	content, err := m.get(ctx, wanted)
	return content, mediaTypeIn(content), err
}

func (m *modelUpstream) Blob(ctx context.Context, wanted ociregistry.Wanted) (ociregistry.Blob, error) {
	content, err := m.get(ctx, wanted)
	return ociregistry.Blob{Size: int64(len(content)), Open: func(_ context.Context, offset int64) (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(content[offset:])), nil
	}}, err
}

func (m *modelUpstream) Stat(ctx context.Context, wanted ociregistry.Wanted) (int64, error) {
	content, err := m.get(ctx, wanted)
	return int64(len(content)), err
}

// TestModel plays random histories of two tenants and compares what every route lets be
// read with the oracle.
func TestModel(t *testing.T) {
	histories := modelHistories
	if text := os.Getenv("WEIR_MODEL_HISTORIES"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil {
			t.Fatalf("WEIR_MODEL_HISTORIES: %v", err)
		}
		histories = n
	}
	u := newUniverse(t)
	for seed := range uint64(histories) {
		w := newWorld(t, u, seed)
		for range 6 + w.dice.IntN(14) {
			w.step()
			for range 4 {
				w.probe(pick(w.dice, modelRepos), pick(w.dice, w.contents()), w.dice.IntN(2) == 0)
			}
		}
		for _, repo := range modelRepos {
			for _, d := range w.contents() {
				w.probe(repo, d, false)
				w.probe(repo, d, true)
			}
		}
		if t.Failed() {
			t.Fatalf("history %d:\n%s", seed, strings.Join(w.log, "\n"))
		}
	}
}

func pick[V any](dice *rand.Rand, list []V) V { return list[dice.IntN(len(list))] }

func (w *world) contents() []digest.Digest { return slices.Concat(w.oracle.blobs, w.oracle.manifests) }

// short names content in logs.
func (w *world) short(d digest.Digest) string {
	if i := slices.Index(w.oracle.blobs, d); i >= 0 {
		return fmt.Sprintf("b%d", i)
	}
	return fmt.Sprintf("m%d", slices.Index(w.oracle.manifests, d))
}

func (w *world) note(format string, args ...any) {
	w.log = append(w.log, fmt.Sprintf(format, args...))
}

// probe asks by one route for content, and compares. Reading may fetch.
func (w *world) probe(repo string, d digest.Digest, isManifest bool) {
	v := w.view(repo)
	reason, source := w.oracle.reads(v, d, isManifest)
	route, want := "blobs", http.StatusNotFound
	if isManifest {
		route = "manifests"
	}
	asManifest, asManifestFrom := w.oracle.reads(v, d, true)
	if reason != 0 || !isManifest && asManifest != 0 { // a manifest can be read by the route of blobs
		want = http.StatusOK
	}
	method := pick(w.dice, []string{http.MethodGet, http.MethodHead})
	got := w.do(method, "/v2/"+repo+"/"+route+"/"+d.String(), nil)
	if got != want {
		w.t.Errorf("%s %s of %s in %s: %d, want %d (reason %d %s)", method, route, w.short(d), repo, got, want, reason, source)
	}
	if want == http.StatusOK && reason == 3 {
		w.fetched(v, d, isManifest)
	}
	if want == http.StatusOK && reason == 0 && asManifest == 3 {
		_ = asManifestFrom
		w.fetched(v, d, true)
	}
}

// fetched notes what reading content of another registry has the registry keep: the first
// source that has it, unless storage had it from one of the sources.
func (w *world) fetched(v *streamView, d digest.Digest, isManifest bool) {
	var sources []string
	for _, m := range v.images {
		if w.oracle.leadsTo(m, d, isManifest) {
			for _, s := range v.sources[m] {
				sources = append(sources, s.Ref.Registry)
			}
		}
	}
	for _, name := range sources {
		if w.oracle.came[name+d.String()] && w.oracle.data[d] {
			return
		}
	}
	for _, name := range sources {
		if w.oracle.has[name+d.String()] {
			w.oracle.came[name+d.String()], w.oracle.data[d] = true, true
			return
		}
	}
}
