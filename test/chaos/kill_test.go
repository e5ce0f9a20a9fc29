package chaos_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	digest "github.com/opencontainers/go-digest"
	imagev1 "github.com/openshift/api/image/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"weir.dev/weir/internal/testenv"
	"weir.dev/weir/internal/testenv/testimage"
)

const (
	killRounds = 5
	namespace  = "chaos"
	// upstreamTags are what the registry of the kill test has, each another image.
	upstreamTags = 12
)

// ledger is what servers have acknowledged: what each check of it returns an error
// for has been lost.
type ledger struct {
	mu     sync.Mutex
	checks map[string]func(*inventory) error
	count  atomic.Int64
}

func (l *ledger) add(name string, check func(*inventory) error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.checks[name] = check
	l.count.Add(1)
}

func (l *ledger) check(t *testing.T, i *inventory) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, name := range slices.Sorted(maps.Keys(l.checks)) {
		if err := l.checks[name](i); err != nil {
			t.Errorf("acknowledged and lost: %s: %v", name, err)
		}
	}
}

// inventory is everything a server has.
type inventory struct {
	streams map[string]*imagev1.ImageStream
	images  map[string]*imagev1.Image
}

// takeInventory reads everything and checks that it fits together: no tag event
// and no list of images names an Image that is missing.
func takeInventory(t *testing.T, p *process) *inventory {
	t.Helper()
	i := &inventory{map[string]*imagev1.ImageStream{}, map[string]*imagev1.Image{}}
	// Streams first: what they name was there before them.
	streams, err := p.images.ImageV1().ImageStreams(namespace).List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	images, err := p.images.ImageV1().Images().List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for n := range images.Items {
		i.images[images.Items[n].Name] = &images.Items[n]
	}
	for _, image := range i.images {
		for _, part := range image.DockerImageManifests {
			if i.images[part.Digest] == nil {
				t.Errorf("image %s lists %s, which is missing", image.Name, part.Digest)
			}
		}
	}
	for n := range streams.Items {
		s := &streams.Items[n]
		i.streams[s.Name] = s
		for _, tag := range s.Status.Tags {
			for _, event := range tag.Items {
				if event.Image != "" && i.images[event.Image] == nil {
					t.Errorf("stream %s, tag %s: event names image %s, which is missing", s.Name, tag.Tag, event.Image)
				}
			}
		}
	}
	return i
}

// head is the image that a tag of a stream points to, "" for none.
func (i *inventory) head(streamName, tag string) string {
	if s := i.streams[streamName]; s != nil {
		return headOf(s, tag)
	}
	return ""
}

func headOf(s *imagev1.ImageStream, tag string) string {
	for _, list := range s.Status.Tags {
		if list.Tag == tag && len(list.Items) > 0 {
			return list.Items[0].Image
		}
	}
	return ""
}

func wantHead(streamName, tag, image string) func(*inventory) error {
	return func(i *inventory) error {
		if got := i.head(streamName, tag); got != image {
			return fmt.Errorf("tag %s of stream %s is %q, want %q", tag, streamName, got, image)
		}
		return nil
	}
}

// mayhem writes into a server that will be killed.
type mayhem struct {
	p        *process
	acked    *ledger
	upstream *testenv.Registry
	digests  []string // of the upstream tags; for PreserveOriginal, of lists
	round    int
}

// run writes until the server is gone.
func (m *mayhem) run(ctx context.Context) {
	var writers sync.WaitGroup
	for _, write := range []func(context.Context, string, int) error{m.createStream, m.importImages, m.pushImage, m.createImage} {
		writers.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				name := fmt.Sprintf("r%d-%d", m.round, n)
				if write(ctx, name, n) != nil {
					return // the server is gone
				}
			}
		})
	}
	writers.Wait()
}

// createStream makes a stream whose tag the controller has to import by itself.
func (m *mayhem) createStream(ctx context.Context, name string, n int) error {
	name = "spec-" + name
	from := m.upstream.Ref("team/app:" + strconv.Itoa(n%upstreamTags))
	_, err := m.p.images.ImageV1().ImageStreams(namespace).Create(ctx, &imagev1.ImageStream{
		ObjectMeta: metav1.ObjectMeta{Name: name, Annotations: map[string]string{"content": name}},
		Spec:       imagev1.ImageStreamSpec{Tags: []imagev1.TagReference{pullTag("t", from)}},
	}, metav1.CreateOptions{})
	if err != nil {
		return err
	}
	m.acked.add("stream "+name, func(i *inventory) error {
		s := i.streams[name]
		if s == nil || s.Annotations["content"] != name || len(s.Spec.Tags) != 1 || s.Spec.Tags[0].From.Name != from {
			return fmt.Errorf("it is %+v", s)
		}
		return nil
	})
	return nil
}

// importImages imports an image and a list with its parts.
func (m *mayhem) importImages(ctx context.Context, name string, n int) error {
	name = "import-" + name
	plain, list := n%upstreamTags, upstreamTags+n%upstreamTags
	isi := importOf(name, imageImport("plain", m.upstream.Ref("team/app:"+strconv.Itoa(plain))), imageImport("list", m.upstream.Ref("team/app:"+strconv.Itoa(list))))
	isi.Spec.Images[1].ImportPolicy.ImportMode = imagev1.ImportModePreserveOriginal
	isi, err := m.p.images.ImageV1().ImageStreamImports(namespace).Create(ctx, isi, metav1.CreateOptions{})
	if err != nil {
		return err
	}
	for at, want := range map[string]string{"plain": m.digests[plain], "list": m.digests[list]} {
		if got := headOf(isi.Status.Import, at); got != want {
			return fmt.Errorf("import %s answered %s for %s, want %s", name, got, at, want)
		}
		m.acked.add("import "+name+":"+at, wantHead(name, at, want))
	}
	return nil
}

// pushImage maps an image into a stream that all rounds share.
func (m *mayhem) pushImage(ctx context.Context, name string, _ int) error {
	image := plainImage("push " + name)
	_, err := m.p.images.ImageV1().ImageStreamMappings(namespace).Create(ctx, &imagev1.ImageStreamMapping{
		ObjectMeta: metav1.ObjectMeta{Name: "pushed"}, Image: *image, Tag: name,
	}, metav1.CreateOptions{})
	if err != nil {
		return err
	}
	m.acked.add("push of "+name, wantHead("pushed", name, image.Name))
	return nil
}

func (m *mayhem) createImage(ctx context.Context, name string, _ int) error {
	image := plainImage("image " + name)
	if _, err := m.p.images.ImageV1().Images().Create(ctx, image, metav1.CreateOptions{}); err != nil {
		return err
	}
	m.acked.add("image "+name, func(i *inventory) error {
		if got := i.images[image.Name]; got == nil || got.DockerImageReference != image.DockerImageReference {
			return fmt.Errorf("it is %+v", got)
		}
		return nil
	})
	return nil
}

// TestKilledServerKeepsWhatItAcknowledged kills a server again and again while it is
// written to, each time after more writes, and looks at what the next one finds.
func TestKilledServerKeepsWhatItAcknowledged(t *testing.T) {
	dataDir, acked := t.TempDir(), &ledger{checks: map[string]func(*inventory) error{}}
	upstream, digests := stockedRegistry(t)
	for round := range killRounds {
		p := boot(t, dataDir)
		if round == 0 {
			prepare(t, p)
		}
		acked.check(t, takeInventory(t, p))
		before := acked.count.Load()
		work := &mayhem{p: p, acked: acked, upstream: upstream, digests: digests, round: round}
		done := make(chan struct{})
		go func() {
			defer close(done)
			work.run(t.Context())
		}()
		testenv.Eventually(t, "enough acknowledged writes", func() error {
			if n := acked.count.Load() - before; n < int64(20+15*round) {
				return fmt.Errorf("%d", n)
			}
			return nil
		})
		p.kill()
		<-done
	}
	p := boot(t, dataDir)
	acked.check(t, takeInventory(t, p))
	waitImported(t, p, upstream, digests)
	t.Logf("%d writes in %d rounds", acked.count.Load(), killRounds)
	p.terminate(t, 20*time.Second)
}

// waitImported waits until the controller has imported every tag that a spec asks for.
func waitImported(t *testing.T, p *process, upstream *testenv.Registry, digests []string) {
	t.Helper()
	want := map[string]string{}
	for n, d := range digests {
		want[upstream.Ref("team/app:"+strconv.Itoa(n))] = d
	}
	testenv.Eventually(t, "the import of all pending tags", func() error {
		streams, err := p.images.ImageV1().ImageStreams(namespace).List(t.Context(), metav1.ListOptions{})
		if err != nil {
			return err
		}
		for _, s := range streams.Items {
			for _, tag := range s.Spec.Tags {
				if got := headOf(&s, tag.Name); got != want[tag.From.Name] {
					return fmt.Errorf("%s:%s is %q, want %q: %+v", s.Name, tag.Name, got, want[tag.From.Name], s.Status.Tags)
				}
			}
		}
		return nil
	})
	takeInventory(t, p)
}

func prepare(t *testing.T, p *process) {
	t.Helper()
	if _, err := p.kube.CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := p.images.ImageV1().ImageStreams(namespace).Create(t.Context(), &imagev1.ImageStream{ObjectMeta: metav1.ObjectMeta{Name: "pushed"}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
}

// stockedRegistry has team/app:0 … with a plain image each, then as many lists.
func stockedRegistry(t *testing.T) (*testenv.Registry, []string) {
	t.Helper()
	upstream := testenv.NewRegistry(t)
	var digests []string
	for n := range upstreamTags {
		digests = append(digests, upstream.Push(t, "team/app:"+strconv.Itoa(n), testimage.Image(t, "linux/amd64")))
	}
	for n := range upstreamTags {
		list, _ := testimage.List(t, "linux/amd64", "linux/arm64")
		digests = append(digests, upstream.Push(t, "team/app:"+strconv.Itoa(upstreamTags+n), list))
	}
	return upstream, digests
}

// TestStopWhileImportHangs asks a server to end while an import waits for a registry
// that never answers, and tries to start another over its data folder meanwhile.
func TestStopWhileImportHangs(t *testing.T) {
	t.Parallel()
	dataDir, upstream := t.TempDir(), testenv.NewRegistry(t)
	asked, release := make(chan struct{}), make(chan struct{})
	t.Cleanup(func() { close(release) })
	var once sync.Once
	upstream.Intercept(func(_ http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path == "/v2/" {
			return false
		}
		once.Do(func() { close(asked) })
		select {
		case <-release:
		case <-r.Context().Done():
		}
		return true
	})
	p := boot(t, dataDir)
	prepare(t, p)

	second := launch(t, dataDir)
	second.waitEnd(t, 30*time.Second)
	if second.err == nil || !contains(second.output.String(), "in use by another weir") || !contains(second.output.String(), dataDir) {
		t.Errorf("a second server over the same data folder ended with %v and said: %s", second.err, second.output)
	}

	answer := make(chan error, 1)
	go func() {
		_, err := p.images.ImageV1().ImageStreamImports(namespace).Create(context.Background(), importOf("s", imageImport("t", upstream.Ref("team/app:1"))), metav1.CreateOptions{})
		answer <- err
	}()
	<-asked
	took := p.terminate(t, 20*time.Second)
	t.Logf("it ended after %s", took)
	err := <-answer
	var status apierrors.APIStatus
	if !errors.As(err, &status) || status.Status().Code != http.StatusServiceUnavailable || status.Status().Reason != metav1.StatusReasonServiceUnavailable ||
		!contains(status.Status().Message, "stopping") {
		t.Errorf("the import in flight was answered: %v", err)
	}

	p = boot(t, dataDir)
	if _, err := p.images.ImageV1().ImageStreams(namespace).Get(t.Context(), "s", metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("the import that was given up left a stream: %v", err)
	}
	p.terminate(t, 20*time.Second)
}

// pullTag is a spec tag that is imported from a plain HTTP registry.
func pullTag(name, from string) imagev1.TagReference {
	return imagev1.TagReference{
		Name:         name,
		From:         &corev1.ObjectReference{Kind: "DockerImage", Name: from},
		ImportPolicy: imagev1.TagImportPolicy{Insecure: true},
	}
}

// importOf is an import into a stream.
func importOf(name string, images ...imagev1.ImageImportSpec) *imagev1.ImageStreamImport {
	return &imagev1.ImageStreamImport{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec:       imagev1.ImageStreamImportSpec{Import: true, Images: images},
	}
}

func imageImport(to, from string) imagev1.ImageImportSpec {
	return imagev1.ImageImportSpec{
		From:         corev1.ObjectReference{Kind: "DockerImage", Name: from},
		To:           &corev1.LocalObjectReference{Name: to},
		ImportPolicy: imagev1.TagImportPolicy{Insecure: true},
	}
}

// plainImage is an Image as a client may store it, named by what it is made of.
func plainImage(content string) *imagev1.Image {
	name := digest.FromString(content).String()
	return &imagev1.Image{ObjectMeta: metav1.ObjectMeta{Name: name}, DockerImageReference: "registry.example.com/app@" + name}
}
