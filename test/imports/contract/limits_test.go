package contract_test

import (
	"errors"
	"fmt"
	"testing"

	imagev1 "github.com/openshift/api/image/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"weir.dev/weir/internal/stream"
	"weir.dev/weir/internal/testenv"
	"weir.dev/weir/internal/testenv/testimage"
)

const limitText = "exceeds the maximum limit"

func TestQuotaOfStreams(t *testing.T) {
	t.Parallel()
	ns, upstream := env.Namespace(t, "quota"), testenv.NewRegistry(t)
	upstream.Push(t, "x:1", testimage.Image(t, "linux/amd64"))
	quota := &corev1.ResourceQuota{
		ObjectMeta: metav1.ObjectMeta{Name: "few"},
		Spec:       corev1.ResourceQuotaSpec{Hard: corev1.ResourceList{"openshift.io/imagestreams": resource.MustParse("1")}},
	}
	if _, err := env.Kube.CoreV1().ResourceQuotas(ns).Create(t.Context(), quota, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	used := func(want string) {
		t.Helper()
		testenv.Eventually(t, "the quota's status", func() error {
			q, err := env.Kube.CoreV1().ResourceQuotas(ns).Get(t.Context(), "few", metav1.GetOptions{})
			if err != nil {
				return err
			}
			if got := q.Status.Used["openshift.io/imagestreams"]; len(q.Status.Hard) == 0 || got.String() != want {
				return fmt.Errorf("%s used", got.String())
			}
			return nil
		})
	}
	used("0")
	from := image(upstream.Ref("x:1"), "a")
	post(t, ns, importing("one", from))
	used("1")
	post(t, ns, importing("one", from, image(upstream.Ref("x:1"), "b"))) // the stream is there
	two := importing("two", from)
	status := refused(t, env.Config, ns, two)
	wantStatus(t, status, 403, metav1.StatusReasonForbidden, "imagestreamimports", "two")
	if !contains(status.Message, "exceeded quota: few, requested: openshift.io/imagestreams=1") {
		t.Errorf("message %q", status.Message)
	}
	two.Spec.Import = false
	post(t, ns, two)
	wantNoStream(t, ns, "two")
}

// limit makes a limit range, and returns when its effect can be waited for.
func limit(t *testing.T, ns string, kind corev1.LimitType, name corev1.ResourceName, most string) {
	t.Helper()
	limits := &corev1.LimitRange{
		ObjectMeta: metav1.ObjectMeta{GenerateName: "limit-"},
		Spec:       corev1.LimitRangeSpec{Limits: []corev1.LimitRangeItem{{Type: kind, Max: corev1.ResourceList{name: resource.MustParse(most)}}}},
	}
	if _, err := env.Kube.CoreV1().LimitRanges(ns).Create(t.Context(), limits, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
}

// eventuallyRefused makes an import until a limit refuses it, which the server's cache
// of limits has to learn of first; another stream takes what gets through before.
func eventuallyRefused(t *testing.T, ns string, isi *imagev1.ImageStreamImport) metav1.Status {
	t.Helper()
	var status metav1.Status
	testenv.Eventually(t, "the limit to count", func() error {
		_, err := env.Images.ImageV1().ImageStreamImports(ns).Create(t.Context(), isi, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
		if err == nil {
			return errors.New("it goes through")
		}
		return nil
	})
	status = refused(t, env.Config, ns, isi)
	return status
}

func TestLimitOfImagesInAStream(t *testing.T) {
	t.Parallel()
	ns, upstream := env.Namespace(t, "limits"), testenv.NewRegistry(t)
	upstream.Push(t, "x:1", testimage.Image(t, "linux/amd64"))
	upstream.Push(t, "x:2", testimage.Image(t, "linux/amd64"))
	one, two := image(upstream.Ref("x:1"), "a"), image(upstream.Ref("x:2"), "b")
	limit(t, ns, "openshift.io/ImageStream", "openshift.io/images", "1")
	status := eventuallyRefused(t, ns, importing("new", one, two))
	wantStatus(t, status, 422, metav1.StatusReasonInvalid, "ImageStream", "new")
	if !contains(status.Message, "requested usage of openshift.io/images "+limitText+" per openshift.io/ImageStream (2 > 1)") ||
		status.Details.Causes[0].Type != "InternalError" || status.Details.Causes[0].Field != "[]" {
		t.Errorf("status %s", asJSON(t, status))
	}
	wantNoStream(t, ns, "new")

	before := post(t, ns, importing("s", one)).Status.Import
	status = refused(t, env.Config, ns, importing("s", one, two))
	wantStatus(t, status, 422, metav1.StatusReasonInvalid, "ImageStream", "s")
	after := getStream(t, ns, "s")
	c := importFailure(after, "b")
	if c == nil || c.Reason != "Invalid" || !contains(c.Message, limitText) || c.Generation != before.Generation+1 {
		t.Errorf("condition %+v at generation %d", c, before.Generation)
	}
	if specTag(after, "b") != nil || importFailure(after, "a") != nil || after.Generation != before.Generation {
		t.Errorf("a refused import left: %s", asJSON(t, after))
	}
	// What is there already is no reason to refuse.
	post(t, ns, importing("s", one))
}

// TestSizeOfAStream: an import that a full stream does not take is told by the conditions of its
// tags, also of those that have an image already.
func TestSizeOfAStream(t *testing.T) {
	t.Parallel()
	ns, upstream := env.Namespace(t, "limits"), testenv.NewRegistry(t)
	upstream.Push(t, "x:1", testimage.Image(t, "linux/amd64"))
	post(t, ns, importing("s", image(upstream.Ref("x:1"), "a")))
	full := env.FillStream(t, ns, "s", stream.MaxBytes)
	upstream.Push(t, "x:1", testimage.Image(t, "linux/amd64"))
	again := importing("s", image(upstream.Ref("x:1"), "a"))
	for i := range 10 {
		again.Spec.Images = append(again.Spec.Images, image(upstream.Ref("x:1"), fmt.Sprint("new-", i)))
	}
	status := refused(t, env.Config, ns, again)
	wantStatus(t, status, 422, metav1.StatusReasonInvalid, "ImageStream", "s")
	after := getStream(t, ns, "s")
	for _, tag := range []string{"a", "new-0", "new-9"} {
		c := importFailure(after, tag)
		if c == nil || c.Reason != "Invalid" || !contains(c.Message, limitText) || c.Generation != full.Generation+1 {
			t.Errorf("condition of %s: %+v", tag, c)
		}
	}
}

func TestLimitOfTagsInAStream(t *testing.T) {
	t.Parallel()
	ns, upstream := env.Namespace(t, "limits"), testenv.NewRegistry(t)
	upstream.Push(t, "x:1", testimage.Image(t, "linux/amd64"))
	upstream.Push(t, "x:2", testimage.Image(t, "linux/amd64"))
	limit(t, ns, "openshift.io/ImageStream", "openshift.io/image-tags", "1")
	status := eventuallyRefused(t, ns, importing("s", image(upstream.Ref("x:1"), "a"), image(upstream.Ref("x:2"), "b")))
	wantStatus(t, status, 422, metav1.StatusReasonInvalid, "ImageStream", "s")
	if !contains(status.Message, "requested usage of openshift.io/image-tags "+limitText) {
		t.Errorf("message %q", status.Message)
	}
	// Two tags of one reference count once.
	post(t, ns, importing("s", image(upstream.Ref("x:1"), "a"), image(upstream.Ref("x:1"), "b")))
}

// TestLimitOfImageSize counts for what is pushed, not for what is imported.
func TestLimitOfImageSize(t *testing.T) {
	t.Parallel()
	ns, upstream := env.Namespace(t, "limits"), testenv.NewRegistry(t)
	name := upstream.Push(t, "x:1", testimage.Image(t, "linux/amd64"))
	limit(t, ns, "openshift.io/Image", corev1.ResourceStorage, "10")
	wantSuccess(t, post(t, ns, importing("s", image(upstream.Ref("x:1"), "a"))).Status.Images[0], name)
	img := &imagev1.Image{ObjectMeta: metav1.ObjectMeta{Name: testimage.Digest(t, testimage.Image(t, "linux/amd64"))}, DockerImageReference: "q.io/x:1"}
	img.DockerImageMetadata.Raw = []byte(`{"kind":"DockerImage","apiVersion":"image.openshift.io/1.0","Id":"x","Created":null,"ContainerConfig":{},"Size":5000}`)
	testenv.Eventually(t, "the limit to count", func() error {
		_, err := env.Images.ImageV1().ImageStreamMappings(ns).Create(t.Context(), &imagev1.ImageStreamMapping{ObjectMeta: metav1.ObjectMeta{Name: "s"}, Image: *img, Tag: "b"}, metav1.CreateOptions{})
		var refusal apierrors.APIStatus
		if !errors.As(err, &refusal) {
			return fmt.Errorf("it goes through: %v", err)
		}
		wantStatus(t, refusal.Status(), 403, metav1.StatusReasonForbidden, "imagestreammappings", "s")
		if !contains(refusal.Status().Message, "requested usage of storage "+limitText+" per openshift.io/Image (5000 > 10)") {
			t.Errorf("message %q", refusal.Status().Message)
		}
		return nil
	})
}
