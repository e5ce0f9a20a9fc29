package chaos_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
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

const pushKillRounds = 4

// pushRepositories are where the clients of killed servers push to.
var pushRepositories = []string{namespace + "/one", namespace + "/two", namespace + "/charts/deep"}

// pushed is an image that somebody pushes, or has pushed.
type pushed struct {
	repo, tag string
	how       way
	image     testimage.Raw
}

// place is content in a repository.
type place struct {
	repo   string
	digest digest.Digest
}

// pushLedger is what clients of killed servers know.
type pushLedger struct {
	mu sync.Mutex
	// images were acknowledged, interrupted were not.
	images, interrupted []pushed
	// blobs and manifests are all that was sent; true is what was acknowledged.
	blobs, manifests map[place]bool
}

func (l *pushLedger) note(known map[place]bool, at place, acknowledged bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	known[at] = known[at] || acknowledged
}

// push pushes an image, and notes what is sent and what is acknowledged.
func (l *pushLedger) push(ctx context.Context, c registryClient, p pushed) error {
	for _, content := range p.image.Blobs() {
		at := place{p.repo, digest.FromBytes(content)}
		l.note(l.blobs, at, false)
		if err := c.upload(ctx, p.how, p.repo, content); err != nil {
			return err
		}
		l.note(l.blobs, at, true)
	}
	at := place{p.repo, p.image.Digest}
	l.note(l.manifests, at, false)
	if err := c.putManifest(ctx, p.repo, p.tag, p.image); err != nil {
		return err
	}
	l.note(l.manifests, at, true)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.images = append(l.images, p)
	return nil
}

func (l *pushLedger) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.images)
}

// run has clients push until the server is gone. It returns once they have begun; the
// result waits for their end.
func (l *pushLedger) run(t *testing.T, c registryClient, round int) (wait func()) {
	var clients sync.WaitGroup
	shared := [][]byte{testimage.Noise(300 << 10), testimage.Noise(400 << 10), testimage.Noise(100 << 10)}
	for n, how := range slices.Concat(ways, ways) {
		repo := pushRepositories[n%len(pushRepositories)]
		clients.Go(func() {
			for i := 0; ; i++ {
				p := pushed{repo, fmt.Sprintf("r%d-c%d-%d", round, n, i), how,
					testimage.NewRaw(testimage.Noise(200<<10), shared[i%len(shared)], testimage.Noise(1<<10))}
				err := l.push(t.Context(), c, p)
				if err == nil {
					continue
				}
				if refused := (*refusal)(nil); errors.As(err, &refused) {
					t.Errorf("the server refused a push: %v", err)
				}
				l.mu.Lock()
				defer l.mu.Unlock()
				l.interrupted = append(l.interrupted, p)
				return
			}
		})
	}
	return clients.Wait
}

// check compares what a server has with what clients know.
func (l *pushLedger) check(t *testing.T, p *process, c registryClient) {
	t.Helper()
	for _, i := range l.images {
		c.wantImage(t, i.repo, i.tag, i.image)
		c.wantImage(t, i.repo, i.image.Digest.String(), i.image)
	}
	for at, acknowledged := range l.blobs {
		_, err := c.content(t.Context(), blobOf(at.repo, at.digest), at.digest)
		wantThere(t, err, acknowledged, "BLOB_UNKNOWN")
	}
	for at, acknowledged := range l.manifests {
		_, err := c.pull(t.Context(), at.repo, at.digest.String())
		wantThere(t, err, acknowledged, "MANIFEST_UNKNOWN")
	}
	streams, err := p.images.ImageV1().ImageStreams(namespace).List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range streams.Items {
		wantSameTags(t, c, &s)
	}
}

// wantThere checks that what was acknowledged is served, and all else is as well or is
// not there.
func wantThere(t *testing.T, err error, acknowledged bool, unknown string) {
	t.Helper()
	var refused *refusal
	if err != nil && (acknowledged || !errors.As(err, &refused) || !refused.is(404, unknown)) {
		t.Errorf("acknowledged: %v, and now: %v", acknowledged, err)
	}
}

// wantSameTags checks that the registry lists what the stream has, and that all of it can
// be pulled.
func wantSameTags(t *testing.T, c registryClient, s *imagev1.ImageStream) {
	t.Helper()
	repo := s.Namespace + "/" + s.Name
	listed, err := c.tags(t.Context(), repo)
	if err != nil {
		t.Error(err)
	}
	var has []string
	for _, tag := range s.Status.Tags {
		has = append(has, tag.Tag)
		if got, err := c.pull(t.Context(), repo, tag.Tag); err != nil || got.String() != headOf(s, tag.Tag) {
			t.Errorf("tag %s of %s leads to %s, %v; the stream's head is %s", tag.Tag, repo, got, err, headOf(s, tag.Tag))
		}
	}
	slices.Sort(has)
	if !slices.Equal(listed, has) {
		t.Errorf("%s lists %q, its stream has %q", repo, listed, has)
	}
}

// repeat pushes again what was interrupted.
func (l *pushLedger) repeat(t *testing.T, c registryClient) {
	t.Helper()
	again := l.interrupted
	l.interrupted = nil
	for _, p := range again {
		if err := l.push(t.Context(), c, p); err != nil {
			t.Errorf("pushing again what was interrupted: %v", err)
			continue
		}
		c.wantImage(t, p.repo, p.tag, p.image)
	}
}

// wantVerified checks that every blob in the storage of a data folder has the digest that
// it is named by.
func wantVerified(t *testing.T, dataDir string) (count int) {
	t.Helper()
	blobs := filepath.Join(dataDir, "registry", "docker", "registry", "v2", "blobs")
	err := filepath.WalkDir(blobs, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || entry.Name() != "data" {
			return err
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		// <alg>/<hex[:2]>/<hex>/data
		name, _ := filepath.Rel(blobs, path)
		parts := strings.Split(name, string(filepath.Separator))
		if want := digest.Digest(parts[0] + ":" + parts[2]); want.Algorithm().FromBytes(content) != want {
			t.Errorf("%s has %d bytes of other content", name, len(content))
		}
		count++
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	return count
}

// TestRegistryKilledDuringPushes kills a server again and again while clients push to it:
// what was acknowledged is there, whole; nothing half-written is served or has a digest's
// name; tags are the stream's; what was interrupted can be pushed again, and an upload in
// chunks goes on where it was.
func TestRegistryKilledDuringPushes(t *testing.T) {
	dataDir := t.TempDir()
	l := &pushLedger{blobs: map[place]bool{}, manifests: map[place]bool{}}
	upload := resumed{content: testimage.Noise((pushKillRounds + 1) * chunkBytes)}
	for round := range pushKillRounds {
		p := boot(t, dataDir)
		c := administrator(t, p)
		if round == 0 {
			prepare(t, p)
		}
		l.check(t, p, c)
		l.repeat(t, c)
		upload.goOn(t, c)
		before := l.count()
		waitStalled := l.stall(t, p, c, dataDir)
		wait := l.run(t, c, round)
		testenv.Eventually(t, "enough acknowledged pushes", func() error {
			if n := l.count() - before; n < 8+6*round {
				return fmt.Errorf("%d", n)
			}
			return nil
		})
		p.kill()
		wait()
		waitStalled()
		wantVerified(t, dataDir)
	}
	p := boot(t, dataDir)
	c := administrator(t, p)
	l.check(t, p, c)
	l.repeat(t, c)
	l.check(t, p, c)
	upload.end(t, c)
	t.Logf("%d images in %d rounds, %d blobs are stored", l.count(), pushKillRounds, wantVerified(t, dataDir))
	p.terminate(t, 20*time.Second)
}

// stalledBytes is how much arrives of uploads that never end, more than any others have.
const stalledBytes = 640 << 10

// stalled is a body that stops in the middle, and breaks off when the server ends.
type stalled struct {
	content io.Reader
	ended   <-chan struct{}
}

// Read implements io.Reader.
func (s stalled) Read(p []byte) (int, error) {
	n, err := s.content.Read(p)
	if err == nil {
		return n, nil
	}
	<-s.ended
	return 0, io.ErrUnexpectedEOF
}

// stall has an upload of each kind under way that will not end before the server does,
// and waits until the storage has some of it. The result waits for the clients.
func (l *pushLedger) stall(t *testing.T, p *process, c registryClient, dataDir string) (wait func()) {
	t.Helper()
	repo, before := pushRepositories[1], stalledFiles(t, dataDir)
	var clients sync.WaitGroup
	for _, method := range []string{http.MethodPost, http.MethodPatch, http.MethodPut} {
		content := testimage.Noise(2 * stalledBytes)
		d, path := digest.FromBytes(content), uploadsOf(repo)
		l.note(l.blobs, place{repo, d}, false)
		if method != http.MethodPost {
			var err error
			if path, err = c.begin(t.Context(), repo); err != nil {
				t.Fatal(err)
			}
		}
		clients.Go(func() {
			_, err := c.want(t.Context(), http.StatusCreated, method, path+"?digest="+d.String(), stalled{bytes.NewReader(content[:stalledBytes]), p.ended})
			if refused := (*refusal)(nil); err == nil || errors.As(err, &refused) {
				t.Errorf("%s of half a blob is answered %v", method, err)
			}
		})
	}
	testenv.Eventually(t, "half of each upload", func() error {
		if n := stalledFiles(t, dataDir) - before; n != 3 {
			return fmt.Errorf("%d files", n)
		}
		return nil
	})
	return clients.Wait
}

// stalledFiles counts the unfinished uploads in the storage of a data folder that have as
// much as stalled ones, but for what is held back until a buffer is full.
func stalledFiles(t *testing.T, dataDir string) (count int) {
	t.Helper()
	root := filepath.Join(dataDir, "registry", "docker", "registry", "v2")
	for _, pattern := range []string{filepath.Join("repositories", "*", "*", "_uploads", "*", "data"), filepath.Join("aside", "*")} {
		found, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range found {
			if info, err := os.Stat(path); err == nil && info.Size() >= stalledBytes*3/4 {
				count++
			}
		}
	}
	return count
}

// resumed is an upload in chunks that outlives servers.
type resumed struct {
	content  []byte
	sent     int
	location string
}

// goOn sends another chunk, to the upload as the last server left it.
func (r *resumed) goOn(t *testing.T, c registryClient) {
	t.Helper()
	var err error
	if r.location == "" {
		r.location, err = c.begin(t.Context(), pushRepositories[0])
	}
	if err == nil {
		err = c.wantReceived(t.Context(), r.location, r.sent)
	}
	if err == nil {
		err = c.patch(t.Context(), r.location, r.content[r.sent:r.sent+chunkBytes], r.sent)
	}
	if err != nil {
		t.Fatal(err)
	}
	r.sent += chunkBytes
}

// end sends the rest.
func (r *resumed) end(t *testing.T, c registryClient) {
	t.Helper()
	d := digest.FromBytes(r.content)
	if err := c.finish(t.Context(), r.location, r.content[r.sent:], d); err != nil {
		t.Fatal(err)
	}
	if _, err := c.content(t.Context(), blobOf(pushRepositories[0], d), d); err != nil {
		t.Error(err)
	}
}
