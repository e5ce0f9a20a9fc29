package registry_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	digest "github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	imagev1 "github.com/openshift/api/image/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"weir.dev/weir/internal/ociregistry"
	"weir.dev/weir/internal/stream"
	"weir.dev/weir/internal/testenv"
)

func TestStreamsPushMakesAStreamForWhoMayMakeOne(t *testing.T) {
	ns := env.Namespace(t, "push")
	writer, other := newReplica(t), newReplica(t)
	for _, role := range []string{"edit", "registry-editor", "system:image-builder"} {
		u := newUser(t, ns, role)
		for _, path := range []string{"app-" + u.Name, "charts/" + u.Name + "/my--chart"} {
			in, m := repo(t, ns, path), newManifest(t, 3)
			if _, err := other.Resolve(t.Context(), in, "1"); refused(err) != "404 NAME_UNKNOWN" {
				t.Errorf("before the push: %v", err)
			}
			made := writer.pushedEventually(t, m.to(in, u, "1")).Repository()
			writer.wantTag(t, in, "1", m.Digest)
			writer.wantDescribed(t, m)

			s := getStream(t, in)
			if made.Name != in.Key() || made.Stream != string(s.UID) || made.Namespace == "" {
				t.Errorf("%s: pushed to %+v", path, made)
			}
			if path == in.Stream && len(s.Annotations) > 0 || path != in.Stream && s.Annotations["weir.dev/repository"] != path {
				t.Errorf("%s: annotations %v", path, s.Annotations)
			}
			event := stream.LatestEvent(s, "1")
			want := env.Registry() + "/" + in.Key() + "@" + m.Digest.String()
			if event == nil || event.DockerImageReference != want || event.Image != m.Digest.String() || event.Generation != 1 || len(s.Spec.Tags) != 0 {
				t.Errorf("%s: event %+v, spec %v; want %s", path, event, s.Spec.Tags, want)
			}
		}
	}
}

func TestStreamsPushAsOneWhoMayNotMakeAStream(t *testing.T) {
	ns := env.Namespace(t, "push")
	r := newReplica(t)
	u, m := newUser(t, ns, "system:image-pusher"), newManifest(t, 1)
	in := repo(t, ns, "app")
	wantRefused(t, second(r.Record(t.Context(), m.to(in, u, "1"))), "403 DENIED", u.Name, "cannot create", "imagestreams")
	if _, err := r.Resolve(t.Context(), in, "1"); refused(err) != "404 NAME_UNKNOWN" {
		t.Errorf("after the refusal: %v", err)
	}
	r.pushedEventually(t, newManifest(t, 1).to(in, newUser(t, ns, "edit"), "made"))
	r.pushed(t, m.to(in, u, "1")) // into a stream that is there
	r.wantTag(t, in, "1", m.Digest)
}

func TestStreamsPushWhereNothingCanBe(t *testing.T) {
	r := newReplica(t)
	m := newManifest(t, 1)
	wantRefused(t, second(r.Record(t.Context(), m.to(repo(t, "no-such-namespace", "app"), admin, "1"))), "404 NAME_UNKNOWN", `namespace "no-such-namespace" does not exist`)
	ns := env.Namespace(t, "push")
	long := repo(t, ns, "app")
	long.Stream = strings.Repeat("a", 250)
	wantRefused(t, second(r.Record(t.Context(), m.to(long, admin, "1"))), "400 NAME_INVALID", "255 characters")
	odd := repo(t, ns, "app")
	odd.Stream = "no--stream"
	wantRefused(t, second(r.Record(t.Context(), m.to(odd, admin, "1"))), "400 NAME_INVALID", "metadata.name")
}

func TestStreamsPushByDigest(t *testing.T) {
	ns := env.Namespace(t, "push")
	writer, other := newReplica(t), newReplica(t)
	in, child := repo(t, ns, "app"), newManifest(t, 2)
	nested := newIndex(t, child.Push)
	missing := newManifest(t, 1)
	outer := newIndex(t, nested.Push, missing.Push)
	for range 2 { // again is fine
		writer.pushed(t, child.to(in, admin))
	}
	writer.pushed(t, nested.to(in, admin))
	if _, err := env.Images.ImageV1().ImageStreams(ns).Get(t.Context(), "app", metav1.GetOptions{}); err == nil {
		t.Error("a push by digest made the stream")
	}
	if made := writer.stream(t, in, false).Repository(); made.Stream != "" || made.Namespace == "" {
		t.Errorf("the repository is %+v", made)
	}
	writer.pushed(t, outer.to(in, admin, "1"))
	for _, r := range []*replica{writer, other} {
		r.wantTag(t, in, "1", outer.Digest)
		for _, m := range []manifest{outer, nested, child} {
			r.wantDescribed(t, m)
		}
		if image, err := r.Image(t.Context(), missing.Digest); err != nil || image != nil {
			t.Errorf("%+v, %v", image, err)
		}
	}
	// What the index lacked comes later.
	writer.pushed(t, missing.to(in, admin))
	writer.wantDescribed(t, missing)
	testenv.Eventually(t, "the other replica to ask again", func() error { return other.describes(t.Context(), missing) })
}

func TestStreamsPushOfSeveralTags(t *testing.T) {
	ns := env.Namespace(t, "push")
	r, other := newReplica(t), newReplica(t)
	in, m := repo(t, ns, "app"), newManifest(t, 1)
	r.pushed(t, m.to(in, admin, "a", "b", "c"))
	r.wantRequests(t, "a push of three tags", "POST imagestreammappings=2", "POST imagestreams=1", "GET imagestreams=1")
	tags, err := r.tags(t.Context(), in)
	if err != nil || !slices.Equal(tags, []string{"a", "b", "c"}) {
		t.Errorf("tags %q, %v", tags, err)
	}
	for _, tag := range tags {
		r.wantTag(t, in, tag, m.Digest)
		other.wantTag(t, in, tag, m.Digest)
	}
}

// TestStreamsImagesAreThoseOfTheContract pushes each manifest as the contract's registry
// does, with its text, and compares what the API stored.
func TestStreamsImagesAreThoseOfTheContract(t *testing.T) {
	ns := env.Namespace(t, "push")
	r := newReplica(t)
	in := repo(t, ns, "app")
	r.pushed(t, newManifest(t, 1).to(in, admin, "made"))
	docker := newManifest(t, 2)
	docker.MediaType = "application/vnd.docker.distribution.manifest.v2+json"
	docker.Manifest = []byte(strings.ReplaceAll(string(docker.Manifest), ocispec.MediaTypeImageManifest, docker.MediaType))
	docker.Digest = digest.FromBytes(docker.Manifest)
	untyped := newManifest(t, 2)
	untyped.Manifest = []byte(strings.ReplaceAll(string(untyped.Manifest), `"mediaType":"`+ocispec.MediaTypeImageManifest+`",`, ""))
	untyped.Digest = digest.FromBytes(untyped.Manifest)
	sha512 := newManifest(t, 1)
	sha512.Digest = digest.SHA512.FromBytes(sha512.Manifest)
	listed := ocispec.Index{MediaType: ocispec.MediaTypeImageIndex, Manifests: []ocispec.Descriptor{{
		MediaType: docker.MediaType, Digest: docker.Digest, Size: 5, Platform: &ocispec.Platform{OS: "linux", Architecture: "arm", Variant: "v7"},
	}}}
	listed.SchemaVersion = 2

	for name, p := range map[string]ociregistry.Push{
		"oci": newManifest(t, 3).Push, "without layers": newManifest(t, 0).Push, "docker": docker.Push, "untyped": untyped.Push, "sha512": sha512.Push,
		"index": pushOf(ocispec.MediaTypeImageIndex, listed),
	} {
		t.Run(name, func(t *testing.T) {
			p.Repository, p.User, p.Tags = in, admin, []string{"ours"}
			r.pushed(t, p)
			images := env.Images.ImageV1().Images()
			ours, err := images.Get(t.Context(), p.Digest.String(), metav1.GetOptions{})
			fatal(t, err)
			fatal(t, images.Delete(t.Context(), ours.Name, metav1.DeleteOptions{}))

			sent := &imagev1.Image{
				ObjectMeta:                   metav1.ObjectMeta{Name: ours.Name, Annotations: ours.Annotations},
				DockerImageReference:         env.Registry() + "/" + in.Key() + "@" + ours.Name,
				DockerImageManifestMediaType: p.MediaType, DockerImageManifest: string(p.Manifest), DockerImageConfig: string(p.Config),
			}
			_, err = env.Images.ImageV1().ImageStreamMappings(ns).Create(t.Context(), &imagev1.ImageStreamMapping{
				ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: in.Stream}, Image: *sent, Tag: "theirs",
			}, metav1.CreateOptions{})
			fatal(t, err)
			theirs, err := images.Get(t.Context(), ours.Name, metav1.GetOptions{})
			fatal(t, err)
			if diff := cmp.Diff(timeless(t, theirs), timeless(t, ours)); diff != "" {
				t.Errorf("(-contract +registry):\n%s", diff)
			}
			s := getStream(t, in)
			if a, b := stream.LatestEvent(s, "ours"), stream.LatestEvent(s, "theirs"); a.DockerImageReference != b.DockerImageReference || a.Image != b.Image || a.Generation != b.Generation {
				t.Errorf("events %+v and %+v", a, b)
			}
		})
	}
}

// timeless is an Image without what differs with the time it was made at.
func timeless(t *testing.T, img *imagev1.Image) map[string]any {
	t.Helper()
	img.ObjectMeta = metav1.ObjectMeta{Name: img.Name, Annotations: img.Annotations}
	text, err := json.Marshal(img)
	fatal(t, err)
	var out map[string]any
	fatal(t, json.Unmarshal(text, &out))
	if len(img.DockerImageManifests) > 0 { // lists are created now
		delete(out["dockerImageMetadata"].(map[string]any), "Created")
	}
	return out
}

func TestStreamsPushOverLimits(t *testing.T) {
	r := newReplica(t)
	t.Run("quota of streams", func(t *testing.T) {
		ns := env.Namespace(t, "quota")
		u := newUser(t, ns, "edit")
		_, err := env.Kube.CoreV1().ResourceQuotas(ns).Create(t.Context(), &corev1.ResourceQuota{
			ObjectMeta: metav1.ObjectMeta{Name: "quota"},
			Spec:       corev1.ResourceQuotaSpec{Hard: corev1.ResourceList{"openshift.io/imagestreams": resource.MustParse("1")}},
		}, metav1.CreateOptions{})
		fatal(t, err)
		m := newManifest(t, 1)
		testenv.Eventually(t, "the quota to be counted", func() error { return second(r.Record(t.Context(), m.to(repo(t, ns, "first"), u, "1"))) })
		testenv.Eventually(t, "the quota to be in force", func() error {
			_, err := r.Record(t.Context(), m.to(repo(t, ns, fmt.Sprintf("more-%d", serial.Add(1))), u, "1"))
			if refused(err) != "403 DENIED" || !strings.Contains(err.Error(), "exceeded quota") {
				return fmt.Errorf("got %w", err)
			}
			return nil
		})
		r.pushed(t, m.to(repo(t, ns, "first"), u, "2"))
	})
	t.Run("size of an image", func(t *testing.T) {
		ns := env.Namespace(t, "limit")
		in, small, large := repo(t, ns, "app"), newManifest(t, 1), newManifest(t, 5)
		r.pushed(t, small.to(in, admin, "small"))
		limit(t, ns, imagev1.LimitTypeImage, corev1.ResourceStorage, "2Ki", func() error {
			if _, err := r.Record(t.Context(), large.to(in, admin, "probe")); refused(err) != "403 DENIED" {
				return fmt.Errorf("got %w", err)
			}
			return nil
		})
		_, err := r.Record(t.Context(), large.to(in, admin, "large"))
		wantRefused(t, err, "403 DENIED", "exceeds the maximum limit per openshift.io/Image")
		r.wantTag(t, in, "large", "")
		r.pushed(t, small.to(in, admin, "again"))
	})
	t.Run("size of a stream", func(t *testing.T) {
		ns := env.Namespace(t, "limit")
		in := repo(t, ns, "app")
		r.pushed(t, newManifest(t, 1).to(in, admin, "1"))
		env.FillStream(t, ns, "app", stream.MaxBytes)
		tags := make([]string, 10)
		for i := range tags {
			tags[i] = fmt.Sprint("new-", i)
		}
		_, err := r.Record(t.Context(), newManifest(t, 1).to(in, admin, tags...))
		wantRefused(t, err, "403 DENIED", fmt.Sprint("exceeds the maximum limit of ", stream.MaxBytes), "weir.dev/history-limit")
	})
	t.Run("number of images", func(t *testing.T) {
		ns := env.Namespace(t, "limit")
		in, first := repo(t, ns, "app"), newManifest(t, 1)
		r.pushed(t, first.to(in, admin, "1"))
		limit(t, ns, imagev1.LimitTypeImageStream, imagev1.ResourceImageStreamImages, "1", func() error {
			if _, err := r.Record(t.Context(), newManifest(t, 1).to(in, admin, "probe")); refused(err) != "403 DENIED" {
				return fmt.Errorf("got %w", err)
			}
			return nil
		})
		wantRefused(t, second(r.Record(t.Context(), newManifest(t, 1).to(in, admin, "2"))), "403 DENIED", "exceeds the maximum limit per openshift.io/ImageStream")
		r.pushed(t, first.to(in, admin, "same"))
	})
}

func TestStreamsPushOfWhatTheAPICannotHold(t *testing.T) {
	ns := env.Namespace(t, "push")
	r := newReplica(t)
	in := repo(t, ns, "app")
	huge := newManifest(t, 20000) // some 4 MB of layers
	wantRefused(t, second(r.Record(t.Context(), huge.to(in, admin, "1"))), "400 MANIFEST_INVALID", "would take")
	large := newManifest(t, 12000)
	r.pushed(t, large.to(in, admin, "1"))
	r.wantTag(t, in, "1", large.Digest)
	r.wantDescribed(t, large)
}

// TestStreamsConcurrentPushesLoseNothing has several replicas push into one stream:
// everybody reads at once what they wrote, and all of it is in the history.
func TestStreamsConcurrentPushesLoseNothing(t *testing.T) {
	ns := env.Namespace(t, "push")
	replicas := []*replica{newReplica(t), newReplica(t), newReplica(t)}
	in := repo(t, ns, "app")
	const pushes = 60
	manifests := make([]manifest, pushes)
	var group sync.WaitGroup
	for i := range pushes {
		manifests[i] = newManifest(t, 2)
		group.Go(func() {
			r, m, tag := replicas[i%len(replicas)], manifests[i], fmt.Sprintf("tag-%d", i)
			if _, err := r.Record(t.Context(), m.to(in, admin, tag, "latest")); err != nil {
				t.Errorf("push %d: %v", i, err)
				return
			}
			r.wantTag(t, in, tag, m.Digest)
			r.wantDescribed(t, m)
			if tags, err := r.tags(t.Context(), in); err != nil || !slices.Contains(tags, tag) {
				t.Errorf("push %d is not listed: %v", i, err)
			}
		})
	}
	group.Wait()
	s := getStream(t, in)
	latest := history(s, "latest")
	for i, m := range manifests {
		if got := history(s, fmt.Sprintf("tag-%d", i)); !slices.Equal(got, []digest.Digest{m.Digest}) {
			t.Errorf("history of tag-%d is %v", i, got)
		}
		if !slices.Contains(latest, m.Digest) {
			t.Errorf("push %d is not in the history of the tag that all moved", i)
		}
		for _, r := range replicas {
			r.wantTag(t, in, fmt.Sprintf("tag-%d", i), m.Digest)
			r.wantDescribed(t, m)
		}
	}
	for _, r := range replicas {
		testenv.Eventually(t, "all replicas to agree", func() error {
			if head, err := r.Resolve(t.Context(), in, "latest"); err != nil || head != latest[0] {
				return fmt.Errorf("latest is %s, %w", head, err)
			}
			return nil
		})
	}
}
