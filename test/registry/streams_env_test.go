package registry_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	digest "github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	imagev1 "github.com/openshift/api/image/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/authentication/user"

	"weir.dev/weir/internal/ociregistry"
	"weir.dev/weir/internal/ociregistry/streams"
	"weir.dev/weir/internal/reference"
	"weir.dev/weir/internal/stream"
	"weir.dev/weir/internal/testenv"
	"weir.dev/weir/internal/testenv/testimage"
)

// replica is a directory of streams of its own, as another process has one.
type replica struct {
	*streams.Directory
	// asked counts requests other than watches, by what they ask for: "GET images".
	mu    sync.Mutex
	asked map[string]int
	// cut has every request fail.
	cut atomic.Bool
}

// newReplica runs a directory until the test ends.
func newReplica(t *testing.T, change ...func(*streams.Options)) *replica {
	t.Helper()
	r := &replica{asked: map[string]int{}}
	config := env.Server.Loopback()
	config.QPS = -1
	config.Wrap(func(inner http.RoundTripper) http.RoundTripper { return counting{r, inner} })
	o := streams.Options{Config: config, Hosts: stream.Registries{Internal: env.Registry()}, PullThrough: true, Mirror: true}
	for _, c := range change {
		c(&o)
	}
	d, err := streams.New(o)
	fatal(t, err)
	r.Directory = d
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- d.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("the directory ended with %v", err)
		}
	})
	testenv.Eventually(t, "the streams to be read", func() error {
		if !d.HasSynced() {
			return errors.New("not synced")
		}
		return nil
	})
	r.requests()
	return r
}

type counting struct {
	*replica
	inner http.RoundTripper
}

func (c counting) RoundTrip(r *http.Request) (*http.Response, error) {
	if c.cut.Load() {
		return nil, errors.New("cut off by the test")
	}
	if r.URL.Query().Get("watch") == "" {
		_, rest, _ := strings.Cut(r.URL.Path, "/v1/")
		parts := strings.Split(rest, "/")
		if parts[0] == "namespaces" && len(parts) > 2 {
			parts = parts[2:]
		}
		c.mu.Lock()
		c.asked[r.Method+" "+parts[0]]++
		c.mu.Unlock()
	}
	return c.inner.RoundTrip(r)
}

// requests are those since the last call.
func (r *replica) requests() map[string]int {
	r.mu.Lock()
	defer r.mu.Unlock()
	asked := r.asked
	r.asked = map[string]int{}
	return asked
}

// wantRequests compares with pairs such as "GET images=2".
func (r *replica) wantRequests(t *testing.T, what string, want ...string) {
	t.Helper()
	asked := r.requests()
	total := 0
	for _, pair := range want {
		key, number, _ := strings.Cut(pair, "=")
		if fmt.Sprint(asked[key]) != number {
			t.Errorf("%s took %v, want %v", what, asked, want)
			return
		}
		total++
	}
	if total != len(asked) {
		t.Errorf("%s took %v, want %v", what, asked, want)
	}
}

func fatal(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// repo is the repository of a path below a namespace.
func repo(t testing.TB, namespace, path string) reference.Repository {
	t.Helper()
	r, err := reference.ParseRepository(namespace + "/" + path)
	fatal(t, err)
	return r
}

// manifest is an image manifest of a configuration and layers that no other test has:
// their content is not there, for the API does not ask for it.
type manifest struct {
	ociregistry.Push
	config digest.Digest
	layers []digest.Digest
}

// serial tells contents of this test run apart.
var serial atomic.Int64

func unique(kind string) digest.Digest {
	return digest.FromString(fmt.Sprintf("%s %d", kind, serial.Add(1)))
}

// newManifest is an OCI image with so many layers of a kilobyte.
func newManifest(t testing.TB, layers int) manifest {
	t.Helper()
	config := fmt.Appendf(nil, `{"architecture":"arm64","os":"linux","created":"2020-01-02T03:04:05Z","config":{"Labels":{"n":"%d"}}}`, serial.Add(1))
	doc := ocispec.Manifest{MediaType: ocispec.MediaTypeImageManifest, Config: testimage.Describe(ocispec.MediaTypeImageConfig, config)}
	doc.SchemaVersion = 2
	m := manifest{config: doc.Config.Digest}
	for range layers {
		d := unique("layer")
		m.layers = append(m.layers, d)
		doc.Layers = append(doc.Layers, ocispec.Descriptor{MediaType: ocispec.MediaTypeImageLayerGzip, Digest: d, Size: 1024})
	}
	m.Push = pushOf(ocispec.MediaTypeImageManifest, doc)
	m.Config = config
	return m
}

// newIndex is an OCI index of other pushes, without platforms.
func newIndex(t testing.TB, children ...ociregistry.Push) manifest {
	t.Helper()
	doc := ocispec.Index{MediaType: ocispec.MediaTypeImageIndex, Annotations: map[string]string{"n": fmt.Sprint(serial.Add(1))}}
	doc.SchemaVersion = 2
	for _, c := range children {
		doc.Manifests = append(doc.Manifests, ocispec.Descriptor{MediaType: c.MediaType, Digest: c.Digest, Size: int64(len(c.Manifest))})
	}
	return manifest{Push: pushOf(ocispec.MediaTypeImageIndex, doc)}
}

func pushOf(mediaType string, doc any) ociregistry.Push {
	content := testimage.Encode(doc)
	return ociregistry.Push{MediaType: mediaType, Manifest: content, Digest: digest.FromBytes(content)}
}

// to is a push of the manifest by a user.
func (m manifest) to(r reference.Repository, u user.Info, tags ...string) ociregistry.Push {
	p := m.Push
	p.Repository, p.User, p.Tags = r, u, tags
	return p
}

// admin may do everything.
var admin = &user.DefaultInfo{Name: "admin", Groups: []string{"system:masters", "system:authenticated"}}

// newUser is a user with cluster roles in a namespace.
func newUser(t testing.TB, namespace string, clusterRoles ...string) *user.DefaultInfo {
	t.Helper()
	u := &user.DefaultInfo{Name: fmt.Sprintf("user-%d", serial.Add(1)), UID: "7", Groups: []string{"system:authenticated"}, Extra: map[string][]string{"test.weir.dev/x": {"y"}}}
	for _, role := range clusterRoles {
		bind(t, namespace, rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role}, rbacv1.Subject{APIGroup: rbacv1.GroupName, Kind: "User", Name: u.Name})
	}
	return u
}

func bind(t testing.TB, namespace string, role rbacv1.RoleRef, subject rbacv1.Subject) {
	t.Helper()
	_, err := env.Kube.RbacV1().RoleBindings(namespace).Create(t.Context(), &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{GenerateName: "test-"}, RoleRef: role, Subjects: []rbacv1.Subject{subject},
	}, metav1.CreateOptions{})
	fatal(t, err)
}

// pushed records a push that has to succeed.
func (r *replica) pushed(t testing.TB, p ociregistry.Push) ociregistry.Stream {
	t.Helper()
	s, err := r.Record(t.Context(), p)
	if err != nil {
		t.Fatalf("pushing %s %v: %v", p.Repository, p.Tags, err)
	}
	return s
}

// pushedEventually is pushed by a user whose rights may not be known yet.
func (r *replica) pushedEventually(t testing.TB, p ociregistry.Push) (s ociregistry.Stream) {
	t.Helper()
	testenv.Eventually(t, "the rights of "+p.User.GetName(), func() (err error) {
		s, err = r.Record(t.Context(), p)
		return err
	})
	return s
}

// refused is what a client is told of an error: its HTTP status and code.
func refused(err error) string {
	var e *ociregistry.Error
	if !errors.As(err, &e) {
		return fmt.Sprint(err)
	}
	return fmt.Sprintf("%d %s", e.HTTPStatus(), e.Code)
}

// wantRefused checks what a client is told.
func wantRefused(t testing.TB, err error, want string, texts ...string) {
	t.Helper()
	if got := refused(err); got != want {
		t.Errorf("told %s (%v), want %s", got, err, want)
	}
	for _, text := range texts {
		if err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("told %v, which does not say %q", err, text)
		}
	}
}

// describes reports whether the Image of a manifest is known, with all of its parts.
func (r *replica) describes(ctx context.Context, m manifest) error {
	image, err := r.Image(ctx, m.Digest)
	if err != nil || image == nil {
		return fmt.Errorf("image %s: %+v, %w", m.Digest, image, err)
	}
	var blobs []digest.Digest
	for _, b := range image.Blobs {
		blobs = append(blobs, b.Digest)
	}
	want := m.layers
	if m.config != "" {
		want = append([]digest.Digest{m.config}, m.layers...)
	}
	if !slices.Equal(blobs, want) {
		return fmt.Errorf("image %s has the blobs %v, want %v", m.Digest, blobs, want)
	}
	return nil
}

func (r *replica) wantDescribed(t testing.TB, m manifest) {
	t.Helper()
	if err := r.describes(t.Context(), m); err != nil {
		t.Error(err)
	}
}

// stream is a stream as the replica knows it, or as the API has it.
func (r *replica) stream(t testing.TB, in reference.Repository, live bool) ociregistry.Stream {
	t.Helper()
	s, err := r.Stream(t.Context(), in, live)
	fatal(t, err)
	return s
}

// wantTag checks what a tag leads to; "" is nothing.
func (r *replica) wantTag(t testing.TB, in reference.Repository, tag string, want digest.Digest) {
	t.Helper()
	got, err := r.Resolve(t.Context(), in, tag)
	if want == "" {
		if refused(err) != "404 MANIFEST_UNKNOWN" {
			t.Errorf("%s:%s leads to %q, %v", in, tag, got, err)
		}
		return
	}
	if err != nil || got != want {
		t.Errorf("%s:%s leads to %s, %v; want %s", in, tag, got, err, want)
	}
}

func getStream(t testing.TB, in reference.Repository) *imagev1.ImageStream {
	t.Helper()
	s, err := env.Images.ImageV1().ImageStreams(in.Namespace).Get(t.Context(), in.Stream, metav1.GetOptions{})
	fatal(t, err)
	return s
}

// history is a tag's, newest first.
func history(s *imagev1.ImageStream, tag string) []digest.Digest {
	var images []digest.Digest
	if t := stream.StatusTag(s, tag); t != nil {
		for _, item := range t.Items {
			images = append(images, digest.Digest(item.Image))
		}
	}
	return images
}

// limit sets a limit and waits until inForce says so.
func limit(t testing.TB, namespace string, kind corev1.LimitType, name corev1.ResourceName, bound string, inForce func() error) {
	t.Helper()
	_, err := env.Kube.CoreV1().LimitRanges(namespace).Create(t.Context(), &corev1.LimitRange{
		ObjectMeta: metav1.ObjectMeta{Name: "limit"},
		Spec:       corev1.LimitRangeSpec{Limits: []corev1.LimitRangeItem{{Type: kind, Max: corev1.ResourceList{name: resource.MustParse(bound)}}}},
	}, metav1.CreateOptions{})
	fatal(t, err)
	testenv.Eventually(t, "the limit to be in force", inForce)
}

// tags are all tags of a repository.
func (r *replica) tags(ctx context.Context, in reference.Repository) ([]string, error) {
	tags, _, err := r.Tags(ctx, in, "", -1)
	return tags, err
}
