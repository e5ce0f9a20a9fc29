package chaos_test

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	digest "github.com/opencontainers/go-digest"
	imagev1 "github.com/openshift/api/image/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"weir.dev/weir/internal/testenv"
	"weir.dev/weir/internal/testenv/testimage"
)

const (
	movedNamespace = "moved"
	// movedName is what the registry is called in its second life.
	movedName = "registry.weir.test:5000"
	// nameLasts is for how long after the last record of a name what is recorded under
	// it is about this registry: nameSlack of the server.
	nameLasts = 20 * time.Minute
)

// successor has the address that a registry had before.
type successor struct {
	server *httptest.Server
	mu     sync.Mutex
	asked  []string
	serves http.Handler // nil answers 404
}

// succeed listens where a registry has ended to.
func succeed(t *testing.T, host string) *successor {
	t.Helper()
	s := &successor{}
	s.server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		s.asked = append(s.asked, r.Method+" "+r.URL.Path)
		serves := s.serves
		s.mu.Unlock()
		if serves == nil {
			http.NotFound(w, r)
			return
		}
		serves.ServeHTTP(w, r)
	}))
	testenv.Eventually(t, "the former address "+host+" to be free", func() error {
		l, err := net.Listen("tcp", host)
		if err == nil {
			_ = s.server.Listener.Close() // the one that it made
			s.server.Listener = l
		}
		return err
	})
	s.server.Start()
	t.Cleanup(s.server.Close)
	return s
}

// serve has another registry answer.
func (s *successor) serve(t *testing.T, other *testenv.Registry) {
	t.Helper()
	to, err := url.Parse("http://" + other.Host)
	if err != nil {
		t.Fatal(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.serves = httputil.NewSingleHostReverseProxy(to)
}

// wantUnasked checks that no request was about any of some digests or, without them, that
// there was none.
func (s *successor) wantUnasked(t *testing.T, about ...digest.Digest) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, line := range s.asked {
		if len(about) == 0 || slices.ContainsFunc(about, func(d digest.Digest) bool { return strings.HasSuffix(line, d.String()) }) {
			t.Errorf("the former address was asked %s", line)
		}
	}
}

// movedStreams are streams whose tags are pushed, copied within a namespace and across
// namespaces, and follow other tags.
type movedStreams struct {
	own  tree
	tags []string // repository and tag
}

// fillMoved has the streams.
func fillMoved(t *testing.T, p *process, c registryClient) *movedStreams {
	t.Helper()
	makeNamespace(t, p, movedNamespace)
	makeNamespace(t, p, movedNamespace+"-too")
	m := &movedStreams{own: newTree(2), tags: []string{movedNamespace + "/app v1"}}
	if err := c.pushMissing(t.Context(), movedNamespace+"/app", "v1", m.own); err != nil {
		t.Fatal(err)
	}
	m.follow(t, p, "before")
	return m
}

// follow makes streams whose tags are copies of the pushed one, and copies of copies.
func (m *movedStreams) follow(t *testing.T, p *process, name string) {
	t.Helper()
	local := tagOf("local", movedNamespace, "app:v1")
	local.ReferencePolicy.Type = imagev1.LocalTagReferencePolicy
	for _, s := range []struct {
		ns   string
		tags []imagev1.TagReference
	}{
		{movedNamespace, []imagev1.TagReference{tagOf("copy", movedNamespace, "app:v1"), local}},
		{movedNamespace + "-too", []imagev1.TagReference{tagOf("copy", movedNamespace, "app:v1"), tagOf("further", movedNamespace, name+":copy")}},
	} {
		made, err := p.images.ImageV1().ImageStreams(s.ns).Create(t.Context(), &imagev1.ImageStream{
			ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: imagev1.ImageStreamSpec{Tags: s.tags},
		}, metav1.CreateOptions{})
		if err != nil {
			t.Fatal(err)
		}
		for _, tag := range s.tags {
			if got := headOf(made, tag.Name); got != m.own.digest.String() {
				t.Fatalf("tag %s of %s/%s is %q", tag.Name, s.ns, name, got)
			}
			m.tags = append(m.tags, s.ns+"/"+name+" "+tag.Name)
		}
	}
	if _, err := p.images.ImageV1().ImageStreamTags(movedNamespace+"-too").Create(t.Context(), &imagev1.ImageStreamTag{
		ObjectMeta: metav1.ObjectMeta{Name: name + ":alias"}, Tag: new(tagOf("alias", movedNamespace+"-too", name+":further")),
	}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	m.tags = append(m.tags, movedNamespace+"-too/"+name+" alias")
}

// want pulls everything.
func (m *movedStreams) want(t *testing.T, c registryClient) {
	t.Helper()
	for _, at := range m.tags {
		repo, tag, _ := strings.Cut(at, " ")
		c.wantTree(t, repo, tag, m.own)
	}
}

// wantName holds that everything is shown under a name of the registry: a pull spec with a
// former one works for no client.
func (m *movedStreams) wantName(t *testing.T, p *process, name string) {
	t.Helper()
	for _, at := range m.tags {
		repo, tag, _ := strings.Cut(at, " ")
		ns, s, _ := strings.Cut(repo, "/")
		istag, err := p.images.ImageV1().ImageStreamTags(ns).Get(t.Context(), s+":"+tag, metav1.GetOptions{})
		if err != nil || !strings.HasPrefix(istag.Image.DockerImageReference, name+"/") {
			t.Errorf("%s is shown as %q, %v; want it at %s", at, istag.Image.DockerImageReference, err, name)
		}
		stream, err := p.images.ImageV1().ImageStreams(ns).Get(t.Context(), s, metav1.GetOptions{})
		if err != nil || !strings.HasPrefix(stream.Status.Tags[0].Items[0].DockerImageReference, name+"/") {
			t.Errorf("image stream %s: %+v, %v; want references to %s", repo, stream.Status.Tags, err, name)
		}
	}
	image, err := p.images.ImageV1().Images().Get(t.Context(), m.own.digest.String(), metav1.GetOptions{})
	if err != nil || !strings.HasPrefix(image.DockerImageReference, name+"/") {
		t.Errorf("the Image is shown as %q, %v; want it at %s", image.DockerImageReference, err, name)
	}
}

// ageNames has the names in storage be ones that the registry had until now: what is
// recorded under them from the next second on is about another registry.
func ageNames(t *testing.T, dataDir string) {
	t.Helper()
	path := filepath.Join(storageOf(dataDir), "_names")
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var names []struct {
		Host     string    `json:"host"`
		LastSeen time.Time `json:"lastSeen"`
	}
	if err := json.Unmarshal(content, &names); err != nil || len(names) < 2 {
		t.Fatalf("the names are %s, %v", content, err)
	}
	for i := range names {
		names[i].LastSeen = time.Now().Add(-nameLasts).UTC().Truncate(time.Second)
	}
	if err := os.WriteFile(path, testimage.Encode(names), 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestRegistryOnAnotherAddress starts a registry again on another port and under another
// name: what was pushed and copied is read from storage, and its former address, which
// another server has, is not asked for it; but it is for what that has now.
func TestRegistryOnAnotherAddress(t *testing.T) {
	t.Parallel()
	dataDir := t.TempDir()
	p := boot(t, dataDir)
	c := administrator(t, p)
	formerHost := c.host
	m := fillMoved(t, p, c)
	m.want(t, c)
	p.kill()

	next := succeed(t, formerHost)
	p = boot(t, dataDir, "--internal-registry-hostname", movedName)
	c.host = p.registry(t)
	m.want(t, c)
	m.wantName(t, p, movedName)
	m.follow(t, p, "after")
	m.want(t, c)
	next.wantUnasked(t)
	p.kill()

	// Another registry takes the address over, with a repository of the same name.
	other := testenv.NewRegistry(t)
	next.serve(t, other)
	ageNames(t, dataDir)
	p = boot(t, dataDir)
	c.host = p.registry(t)
	for n, repo := range []string{"team/app", movedNamespace + "/app"} {
		image := testimage.Image(t, "linux/amd64")
		d := other.Push(t, repo+":1", image)
		name := fmt.Sprint("taken-over-", n)
		isi, err := p.images.ImageV1().ImageStreamImports(movedNamespace).Create(t.Context(), importOf(name, imageImport("1", formerHost+"/"+repo+":1")), metav1.CreateOptions{})
		if err != nil || headOf(isi.Status.Import, "1") != d {
			t.Fatalf("importing %s from the former address: %+v, %v", repo, isi.Status, err)
		}
		other.Reset()
		if err := c.readAll(t.Context(), movedNamespace+"/"+name, partsOfImage(t, image)); err != nil || other.Count("GET /v2/"+repo+"/") == 0 {
			t.Errorf("pulling through what the former address has now: %v; it was asked %q", err, other.Asked())
		}
	}
	m.follow(t, p, "at-last")
	m.want(t, c)
	own := m.own.parts()
	next.wantUnasked(t, append(own.manifests, own.blobs...)...)
	p.terminate(t, 20*time.Second)
}
