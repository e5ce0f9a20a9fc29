package registry_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-containerregistry/pkg/authn"
	digest "github.com/opencontainers/go-digest"
	imagev1 "github.com/openshift/api/image/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"weir.dev/weir/internal/testenv"
	"weir.dev/weir/internal/testenv/testimage"
)

// What a stream imported is served by tag and by digest, every platform of it, and is
// served on when the registry that it came from is gone.
func TestPullThroughOutlivesItsSource(t *testing.T) {
	p, elsewhere := newThrough(t, env), testenv.NewRegistry(t)
	image := elsewhere.Push(t, "team/app:1", testimage.OCIImage(t, "linux/amd64"))
	list, children := testimage.List(t, "linux/amd64", "linux/arm64", "linux/s390x")
	index := elsewhere.Push(t, "team/multi:1", list)
	p.imports(t, "app", "1", elsewhere.Ref("team/app:1"))
	p.imports(t, "app", "multi", elsewhere.Ref("team/multi:1"))
	elsewhere.Reset()

	byTag, err := p.ask(t, http.MethodHead, "app", "manifests/multi")
	if got := byTag.header.Get("Docker-Content-Digest"); err != nil || got != index {
		t.Fatalf("the tag is %q, %v; want %s", got, err, index)
	}
	var blobs []digest.Digest
	for _, reference := range []string{image, "1", index, "multi", children[2]} {
		blobs = append(blobs, p.pullAll(t, "app", reference)...)
	}
	for _, d := range blobs {
		for _, repository := range []string{"app", "multi"} {
			if n := elsewhere.Count("GET /v2/team/" + repository + "/blobs/" + d.String()); n > 1 {
				t.Errorf("%s was fetched %d times from %s", d, n, repository)
			}
		}
	}
	elsewhere.Close()
	for _, reference := range []string{image, "1", index, "multi", children[0], children[1], children[2]} {
		p.pullAll(t, "app", reference)
	}
	// What was never pulled through is a failure that says whose.
	later := testenv.NewRegistry(t)
	unseen := later.Push(t, "team/late:1", testimage.OCIImage(t, "linux/amd64"))
	p.imports(t, "app", "late", later.Ref("team/late:1"))
	later.Close()
	answer, err := p.ask(t, http.MethodGet, "app", "manifests/"+unseen)
	wantAnswer(t, answer, err, 503, "UNAVAILABLE", later.Host)
}

// Many pulls of a layer are one download, of which the first bytes come at once.
func TestPullThroughIsShared(t *testing.T) {
	p, elsewhere := newThrough(t, env), testenv.NewRegistry(t)
	image, layer, content := oneLayer(t, 4<<20)
	elsewhere.Push(t, "team/app:1", image)
	p.imports(t, "app", "1", elsewhere.Ref("team/app:1"))
	release := make(chan struct{})
	elsewhere.Intercept(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodGet || !strings.HasSuffix(r.URL.Path, layer.String()) {
			return false
		}
		w.Header().Set("Content-Length", fmt.Sprint(len(content)))
		_, _ = w.Write(content[:2<<20])
		w.(http.Flusher).Flush()
		<-release
		_, _ = w.Write(content[2<<20:])
		return true
	})
	elsewhere.Reset()
	client := p.as(t, "app", authn.Anonymous)
	half, pulls := make(chan struct{}, 50), sync.WaitGroup{}
	for range 50 {
		pulls.Go(func() {
			answer, err := client.Get(p.url("app", "blobs/"+layer.String()))
			if err != nil {
				t.Error(err)
				half <- struct{}{}
				return
			}
			defer answer.Body.Close()
			got := make([]byte, 1<<20)
			_, early := io.ReadFull(answer.Body, got)
			half <- struct{}{}
			rest, late := io.ReadAll(answer.Body)
			if early != nil || late != nil || !bytes.Equal(append(got, rest...), content) {
				t.Errorf("%d bytes, %v, %v", len(got)+len(rest), early, late)
			}
		})
	}
	for range 50 {
		<-half // nobody waits for the last byte
	}
	// A range that is there, and the size, while it arrives.
	answer, err := p.ask(t, http.MethodGet, "app", "blobs/"+layer.String(), "Range", "bytes=1000-1999")
	if err != nil || answer.status != http.StatusPartialContent || !bytes.Equal(answer.body, content[1000:2000]) {
		t.Errorf("a range: %v, %d", err, answer.status)
	}
	answer, err = p.ask(t, http.MethodHead, "app", "blobs/"+layer.String())
	if err != nil || answer.length != int64(len(content)) {
		t.Errorf("HEAD: %v, %d", err, answer.length)
	}
	close(release)
	pulls.Wait()
	if n := elsewhere.Count("GET /v2/team/app/blobs/" + layer.String()); n != 1 {
		t.Errorf("fetched %d times", n)
	}
}

// Who only asks whether something is there does not have it fetched.
func TestPullThroughOfAHead(t *testing.T) {
	p, elsewhere := newThrough(t, env), testenv.NewRegistry(t)
	image, layer, content := oneLayer(t, 300_000)
	elsewhere.Push(t, "team/app:1", image)
	p.imports(t, "app", "1", elsewhere.Ref("team/app:1"))
	elsewhere.Reset()
	answer, err := p.ask(t, http.MethodHead, "app", "blobs/"+layer.String())
	if err != nil || answer.status != 200 || answer.length != int64(len(content)) || answer.header.Get("Docker-Content-Digest") != layer.String() {
		t.Errorf("%v, %+v", err, answer)
	}
	if n := elsewhere.Count("GET /v2/team/app/blobs/"); n != 0 {
		t.Errorf("fetched %d times", n)
	}
}

// The pull secrets are those of the stream's namespace, and no other's.
func TestPullThroughWithPullSecrets(t *testing.T) {
	elsewhere := testenv.NewRegistry(t)
	digestOf := elsewhere.Push(t, "private/app:1", testimage.OCIImage(t, "linux/amd64"))
	with, without := newThrough(t, env), newThrough(t, env)
	for _, p := range []*through{with, without} {
		p.imports(t, "app", "1", elsewhere.Ref("private/app:1"))
	}
	elsewhere.DemandTokens(map[string]string{"u": "pa55w0rd"}, testenv.Everybody)
	_, err := env.Kube.CoreV1().Secrets(with.namespace).Create(t.Context(), testenv.PullSecret(t, "outside", map[string]string{elsewhere.Host: "u:pa55w0rd"}), metav1.CreateOptions{})
	fatal(t, err)
	answer, err := without.ask(t, http.MethodGet, "app", "manifests/1")
	wantAnswer(t, answer, err, 404, "MANIFEST_UNKNOWN", "namespace "+without.namespace)
	if strings.Contains(string(answer.body), "pa55w0rd") {
		t.Errorf("a password is told: %s", answer.body)
	}
	if blobs := with.pullAll(t, "app", digestOf); len(blobs) == 0 {
		t.Error("the image has no blobs")
	}
	// What one namespace's secrets show is kept for that one.
	answer, err = without.ask(t, http.MethodGet, "app", "manifests/1")
	wantAnswer(t, answer, err, 404, "MANIFEST_UNKNOWN", "namespace "+without.namespace)
	elsewhere.Close()
	with.pullAll(t, "app", digestOf)
}

// A tag says that what it imported is not to be kept, or not to be fetched.
func TestPullThroughSwitchedOffByATag(t *testing.T) {
	for annotation, want := range map[string]struct {
		status int
		code   string
	}{"weir.dev/mirror": {503, "UNAVAILABLE"}, "weir.dev/pull-through": {404, "BLOB_UNKNOWN"}} {
		t.Run(annotation, func(t *testing.T) {
			p, elsewhere := newThrough(t, env), testenv.NewRegistry(t)
			image, layer, _ := oneLayer(t, 100_000)
			d := elsewhere.Push(t, "team/app:1", image)
			// The registry must not fetch the layer before it has the annotation.
			stream := &imagev1.ImageStream{ObjectMeta: metav1.ObjectMeta{Name: "app", Annotations: map[string]string{annotation: "disabled"}}}
			_, err := env.Images.ImageV1().ImageStreams(p.namespace).Create(t.Context(), stream, metav1.CreateOptions{})
			fatal(t, err)
			p.imports(t, "app", "1", elsewhere.Ref("team/app:1"))
			host := ""
			if annotation == "weir.dev/mirror" {
				host = elsewhere.Host
				p.pullAll(t, "app", d)
				p.pullAll(t, "app", d)
				elsewhere.Close()
			}
			testenv.Eventually(t, "nothing to be served", func() error {
				answer, err := p.ask(t, http.MethodGet, "app", "blobs/"+layer.String())
				if err != nil || answer.status != want.status {
					return fmt.Errorf("%v, %s", err, answer)
				}
				wantAnswer(t, answer, err, want.status, want.code, host)
				return nil
			})
		})
	}
}
