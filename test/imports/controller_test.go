package imports

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	imagev1 "github.com/openshift/api/image/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/util/retry"

	"weir.dev/weir/internal/controller/imageimport"
	"weir.dev/weir/internal/stream"
	"weir.dev/weir/internal/testenv"
	"weir.dev/weir/internal/testenv/testimage"
)

func dockerTag(name, from string) imagev1.TagReference {
	return imagev1.TagReference{
		Name:         name,
		From:         &corev1.ObjectReference{Kind: "DockerImage", Name: from},
		ImportPolicy: imagev1.TagImportPolicy{Insecure: true},
	}
}

func create(t *testing.T, ns string, tags ...imagev1.TagReference) {
	t.Helper()
	s := &imagev1.ImageStream{ObjectMeta: metav1.ObjectMeta{Name: "s"}, Spec: imagev1.ImageStreamSpec{Tags: tags}}
	if _, err := env.Images.ImageV1().ImageStreams(ns).Create(t.Context(), s, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
}

func get(t *testing.T, ns string) *imagev1.ImageStream {
	t.Helper()
	s, err := env.Images.ImageV1().ImageStreams(ns).Get(t.Context(), "s", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// update changes the stream, racing with the controllers as any client does.
func update(t *testing.T, ns string, change func(*imagev1.ImageStream)) {
	t.Helper()
	err := retry.RetryOnConflict(retry.DefaultRetry, func() error {
		s := get(t, ns)
		change(s)
		_, err := env.Images.ImageV1().ImageStreams(ns).Update(t.Context(), s, metav1.UpdateOptions{})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// imported waits until the head of the tag is that image.
func imported(t *testing.T, ns, tag, image string) *imagev1.ImageStream {
	t.Helper()
	var s *imagev1.ImageStream
	testenv.Eventually(t, "the import of "+tag, func() error {
		s = get(t, ns)
		if head := stream.LatestEvent(s, tag); head == nil || head.Image != image {
			return fmt.Errorf("tag %s is %+v, want image %s", tag, stream.StatusTag(s, tag), image)
		}
		return nil
	})
	return s
}

func TestTagInSpecIsImported(t *testing.T) {
	ns, upstream := env.Namespace(t, "import"), testenv.NewRegistry(t)
	first := upstream.Push(t, "team/x:1", testimage.Image(t, "linux/amd64"))
	begin := time.Now()
	follower := imagev1.TagReference{Name: "b", From: &corev1.ObjectReference{Kind: "ImageStreamTag", Name: "a"}}
	byReference := dockerTag("c", upstream.Ref("team/x:1"))
	byReference.Reference = true
	create(t, ns, dockerTag("a", upstream.Ref("team/x:1")), follower, byReference)
	s := imported(t, ns, "a", first)
	t.Logf("imported after %v", time.Since(begin))

	if s.Generation != 2 || *stream.SpecTag(s, "a").Generation != 2 || stream.LatestEvent(s, "a").Generation != 2 {
		t.Errorf("generations of stream, tag, event: %d %d %d, want 2", s.Generation, *stream.SpecTag(s, "a").Generation, stream.LatestEvent(s, "a").Generation)
	}
	if head := stream.LatestEvent(s, "b"); head == nil || head.Image != first {
		t.Errorf("b is %+v, want to follow a", head)
	}
	if s.Annotations[imagev1.DockerImageRepositoryCheckAnnotation] == "" {
		t.Error("the time of the import is not noted")
	}

	second := upstream.Push(t, "team/x:1", testimage.Image(t, "linux/amd64"))
	update(t, ns, func(s *imagev1.ImageStream) { *stream.SpecTag(s, "a").Generation = 0 })
	s = imported(t, ns, "a", second)
	if items := stream.StatusTag(s, "a").Items; len(items) != 2 || items[1].Image != first {
		t.Errorf("history of a: %+v", items)
	}
}

func TestMetrics(t *testing.T) {
	ns, upstream := env.Namespace(t, "metrics"), testenv.NewRegistry(t)
	image := upstream.Push(t, "team/x:1", testimage.Image(t, "linux/amd64"))
	tag := dockerTag("b", upstream.Ref("team/x:missing"))
	tag.ImportPolicy.Scheduled = true
	create(t, ns, dockerTag("a", upstream.Ref("team/x:1")), tag)
	imported(t, ns, "a", image)
	testenv.Eventually(t, "the metrics", func() error {
		text, err := env.ControllerMetrics(t.Context())
		if err != nil {
			return err
		}
		for _, want := range []string{
			fmt.Sprintf("openshift_imagestreamcontroller_success_count{registry=%q,scheduled=\"false\"} 1\n", upstream.Host),
			fmt.Sprintf("openshift_imagestreamcontroller_error_count{reason=\"NotFound\",registry=%q,scheduled=\"true\"}", upstream.Host),
			`workqueue_depth{name="weir_import"}`,
			"weir_controller_import_retries_pending ",
			"weir_controller_scheduled_import_lag_seconds_bucket",
			`weir_controller_import_duration_seconds_count{result="answered",why="spec"}`,
		} {
			if !strings.Contains(text, want) {
				return fmt.Errorf("without %s", want)
			}
		}
		return nil
	})
}

func TestFailedTagIsRetried(t *testing.T) {
	ns, upstream := env.Namespace(t, "retry"), testenv.NewRegistry(t)
	upstream.Push(t, "team/x:other", testimage.Image(t, "linux/amd64"))
	create(t, ns, dockerTag("a", upstream.Ref("team/x:late")))
	testenv.Eventually(t, "a second attempt", func() error {
		s := get(t, ns)
		if r, ok := stream.RetryOf(s, "a"); !ok || r.Attempt < 2 {
			return fmt.Errorf("tag is %+v", stream.StatusTag(s, "a"))
		}
		return nil
	})
	s := get(t, ns)
	condition := stream.StatusTag(s, "a").Conditions[0]
	if condition.Type != imagev1.ImportSuccess || condition.Reason != "NotFound" || condition.Generation != 2 || s.Generation != 2 {
		t.Errorf("condition %+v at generation %d, want NotFound at 2", condition, s.Generation)
	}

	image := upstream.Push(t, "team/x:late", testimage.Image(t, "linux/amd64"))
	s = imported(t, ns, "a", image)
	if conditions := stream.StatusTag(s, "a").Conditions; len(conditions) > 0 {
		t.Errorf("conditions after success: %+v", conditions)
	}
	for _, reason := range []string{imageimport.ReasonImportFailed, imageimport.ReasonImportRetry, imageimport.ReasonImportSucceeded} {
		testenv.Eventually(t, "the event "+reason, func() error { return hasEvent(t, ns, reason) })
	}
}

func hasEvent(t *testing.T, ns, reason string) error {
	list, err := env.Kube.EventsV1().Events(ns).List(t.Context(), metav1.ListOptions{})
	if err != nil {
		return err
	}
	for _, e := range list.Items {
		if e.Reason == reason && e.Regarding.Kind == "ImageStream" && e.Regarding.Name == "s" && e.Related != nil && e.Related.Name == "s:a" {
			return nil
		}
	}
	return fmt.Errorf("not among %d events", len(list.Items))
}

func TestRegistrysPauseIsKept(t *testing.T) {
	ns, upstream := env.Namespace(t, "pause"), testenv.NewRegistry(t)
	upstream.Intercept(func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.Contains(r.URL.Path, "/manifests/") {
			return false
		}
		w.Header().Set("Retry-After", "600")
		testenv.RegistryError(w, http.StatusTooManyRequests, "TOOMANYREQUESTS", "slow down")
		return true
	})
	begin := time.Now()
	create(t, ns, dockerTag("a", upstream.Ref("team/x:1")))
	testenv.Eventually(t, "the note of the failure", func() error {
		s := get(t, ns)
		r, ok := stream.RetryOf(s, "a")
		if !ok {
			return fmt.Errorf("tag is %+v", stream.StatusTag(s, "a"))
		}
		if pause := r.Next.Sub(begin); pause < 5*time.Minute || pause > 6*time.Minute {
			t.Fatalf("the next attempt is %v after the first, want the bound of five minutes on a registry's ten", pause)
		}
		return nil
	})
}

func TestScheduledTagFollowsUpstream(t *testing.T) {
	ns, upstream := env.Namespace(t, "schedule"), testenv.NewRegistry(t)
	first := upstream.Push(t, "team/x:1", testimage.Image(t, "linux/amd64"))
	tag := dockerTag("a", upstream.Ref("team/x:1"))
	tag.ImportPolicy.Scheduled = true
	tag.Annotations = map[string]string{stream.AnnotationImportInterval: "1s"}
	create(t, ns, tag)
	before := imported(t, ns, "a", first)

	upstream.Reset()
	testenv.Eventually(t, "three checks", func() error {
		if n := upstream.Count("HEAD /v2/team/x/manifests/1"); n < 3 {
			return fmt.Errorf("%d checks", n)
		}
		return nil
	})
	if n := upstream.Count("GET /v2/team/x/"); n > 0 {
		t.Errorf("%d contents were fetched though nothing moved", n)
	}
	if after := get(t, ns); after.ResourceVersion != before.ResourceVersion {
		t.Error("checks of a tag that did not move wrote the stream")
	}

	second := upstream.Push(t, "team/x:1", testimage.Image(t, "linux/amd64"))
	imported(t, ns, "a", second)
	moved(t, ns, "a", first, second, "(schedule)")
}
