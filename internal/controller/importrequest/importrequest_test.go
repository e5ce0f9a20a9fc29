package importrequest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	imagev1 "github.com/openshift/api/image/v1"
	imageclient "github.com/openshift/client-go/image/clientset/versioned/typed/image/v1"
	"go.uber.org/goleak"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"k8s.io/component-base/metrics/testutil"

	"weir.dev/weir/internal/stream"
)

func specTag(name, from string) imagev1.TagReference {
	return imagev1.TagReference{Name: name, From: &corev1.ObjectReference{Kind: stream.KindDockerImage, Name: from}}
}

func TestBuild(t *testing.T) {
	full := specTag("a", "q.io/x:1")
	full.ImportPolicy = imagev1.TagImportPolicy{Insecure: true, Scheduled: true, ImportMode: imagev1.ImportModePreserveOriginal}
	full.ReferencePolicy.Type = imagev1.LocalTagReferencePolicy
	follower := imagev1.TagReference{Name: "follows", From: &corev1.ObjectReference{Kind: stream.KindImageStreamTag, Name: "a"}}
	s := &imagev1.ImageStream{
		ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "s", ResourceVersion: "7", UID: "u", Annotations: map[string]string{imagev1.InsecureRepositoryAnnotation: "true"}},
		Spec: imagev1.ImageStreamSpec{
			DockerImageRepository: "q.io/x",
			Tags:                  []imagev1.TagReference{specTag("", "q.io/x:0"), full, specTag("b", "q.io/x:2"), specTag("bad", "A B"), follower},
		},
	}
	meta := metav1.ObjectMeta{Namespace: "ns", Name: "s", ResourceVersion: "7", UID: "u"}
	image := imagev1.ImageImportSpec{
		From:            corev1.ObjectReference{Kind: "DockerImage", Name: "q.io/x:1"},
		To:              &corev1.LocalObjectReference{Name: "a"},
		ImportPolicy:    full.ImportPolicy,
		ReferencePolicy: full.ReferencePolicy,
	}
	repository := &imagev1.RepositoryImportSpec{
		From:         corev1.ObjectReference{Kind: "DockerImage", Name: "q.io/x"},
		ImportPolicy: imagev1.TagImportPolicy{Insecure: true},
	}
	for _, test := range []struct {
		name string
		need stream.ImportNeed
		want *imagev1.ImageStreamImport
	}{
		{"nothing", stream.ImportNeed{}, nil},
		{"a tag", stream.ImportNeed{Tags: []string{"a"}}, &imagev1.ImageStreamImport{ObjectMeta: meta, Spec: imagev1.ImageStreamImportSpec{Import: true, Images: []imagev1.ImageImportSpec{image}}}},
		{"repository", stream.ImportNeed{Repository: true, Tags: []string{"a"}}, &imagev1.ImageStreamImport{ObjectMeta: meta, Spec: imagev1.ImageStreamImportSpec{Import: true, Repository: repository, Images: []imagev1.ImageImportSpec{image}}}},
		{"what the API would refuse", stream.ImportNeed{Tags: []string{"", "bad", "follows", "gone"}}, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, Build(s, test.need)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func success() imagev1.ImageImportStatus {
	return imagev1.ImageImportStatus{Status: metav1.Status{Status: metav1.StatusSuccess}, Image: &imagev1.Image{}}
}

func failure(reason metav1.StatusReason) imagev1.ImageImportStatus {
	return imagev1.ImageImportStatus{Status: metav1.Status{Status: metav1.StatusFailure, Reason: reason}}
}

// request is an import of one image per tag, from registries named like the tags.
func request(tags ...string) *imagev1.ImageStreamImport {
	isi := &imagev1.ImageStreamImport{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "s"}}
	for _, tag := range tags {
		isi.Spec.Images = append(isi.Spec.Images, imagev1.ImageImportSpec{
			From: corev1.ObjectReference{Kind: "DockerImage", Name: tag + ".test/x:1"},
			To:   &corev1.LocalObjectReference{Name: tag},
		})
	}
	return isi
}

func TestFailures(t *testing.T) {
	isi := request("good", "bad", "odd", "unanswered")
	isi.Status.Images = []imagev1.ImageImportStatus{success(), failure("NotFound"), {Status: metav1.Status{Status: metav1.StatusSuccess}}}
	got := Failures(isi)
	want := map[string]metav1.Status{"bad": isi.Status.Images[1].Status, "odd": isi.Status.Images[2].Status}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func counters(t *testing.T, scheduled, registry, reason string) (succeeded, failed float64) {
	t.Helper()
	registerMetrics()
	succeeded, err := testutil.GetCounterMetricValue(successes.WithLabelValues(scheduled, registry))
	if err != nil {
		t.Fatal(err)
	}
	failed, err = testutil.GetCounterMetricValue(failures.WithLabelValues(scheduled, registry, reason))
	if err != nil {
		t.Fatal(err)
	}
	return succeeded, failed
}

func TestCount(t *testing.T) {
	isi := request("count", "count", "count")
	isi.Spec.Images[1].ImportPolicy.Scheduled = true
	isi.Spec.Repository = &imagev1.RepositoryImportSpec{From: corev1.ObjectReference{Name: "countrepo.test/x"}}
	answer := isi.DeepCopy()
	answer.Status.Images = []imagev1.ImageImportStatus{success(), success(), failure("NotFound")}
	answer.Status.Repository = &imagev1.RepositoryImportStatus{Status: metav1.Status{Status: metav1.StatusFailure, Reason: "Unauthorized"}}

	read := func() (all []float64) {
		for _, l := range [][3]string{{"false", "count.test", "NotFound"}, {"true", "count.test", "NotFound"}, {"false", "countrepo.test", "Unauthorized"}} {
			s, f := counters(t, l[0], l[1], l[2])
			all = append(all, s, f)
		}
		return all
	}
	countsBefore := read()
	count(isi, answer)
	countFailed(request("count"), errors.New("connection reset"))
	var got []float64
	for i, after := range read() {
		got = append(got, after-countsBefore[i])
	}
	if diff := cmp.Diff([]float64{1, 1, 1, 0, 0, 1}, got); diff != "" {
		t.Error(diff)
	}
	if _, unreachable := counters(t, "false", "count.test", "Unreachable"); unreachable < 1 {
		t.Error("a broken connection was not counted")
	}
}

func TestLabelsAreBounded(t *testing.T) {
	b := boundedLabels{limit: 2, other: "other", known: map[string]struct{}{}}
	for _, step := range [][2]string{{"a", "a"}, {"b", "b"}, {"c", "other"}, {"a", "a"}, {"d", "other"}} {
		if got := b.value(step[0]); got != step[1] {
			t.Errorf("value(%q) = %q, want %q", step[0], got, step[1])
		}
	}
	for spec, want := range map[string]string{"busybox": "docker.io", "q.io/x:1": "q.io", "A B": "other"} {
		if got := registryLabel(spec); got != want {
			t.Errorf("registryLabel(%q) = %q, want %q", spec, got, want)
		}
	}
}

func TestPost(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	var answer func(http.ResponseWriter, *http.Request)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { answer(w, r) }))
	defer server.Close()
	images, err := imageclient.NewForConfig(&rest.Config{Host: server.URL})
	if err != nil {
		t.Fatal(err)
	}
	defer images.RESTClient().(*rest.RESTClient).Client.CloseIdleConnections()
	client := NewClient(images, 0)

	t.Run("answered", func(t *testing.T) {
		answer = func(w http.ResponseWriter, r *http.Request) {
			var isi imagev1.ImageStreamImport
			if err := json.NewDecoder(r.Body).Decode(&isi); err != nil || len(isi.Spec.Images) != 1 {
				t.Errorf("body: %+v %v", isi, err)
			}
			if r.Method != http.MethodPost || r.URL.Path != "/apis/image.openshift.io/v1/namespaces/ns/imagestreamimports" || r.URL.Query().Get("timeout") != "1h0m0s" {
				t.Errorf("request: %s %s", r.Method, r.URL)
			}
			isi.Status.Images = []imagev1.ImageImportStatus{success()}
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusCreated)
			_ = json.NewEncoder(w).Encode(isi)
		}
		got, err := client.Post(t.Context(), request("post"), WhySpec)
		if err != nil || len(got.Status.Images) != 1 {
			t.Errorf("answer %+v, error %v", got, err)
		}
	})
	t.Run("refused", func(t *testing.T) {
		answer = func(w http.ResponseWriter, r *http.Request) {
			status := apierrors.NewConflict(imagev1.Resource("imagestream"), "s", errors.New("changed")).ErrStatus
			status.TypeMeta = metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusConflict)
			_ = json.NewEncoder(w).Encode(status)
		}
		_, err := client.Post(t.Context(), request("post"), WhySpec)
		if !apierrors.IsConflict(err) {
			t.Errorf("error %v, want a conflict that can be told", err)
		}
	})
	t.Run("given up", func(t *testing.T) {
		reached := make(chan struct{})
		answer = func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body) // only then does the server notice that the client is gone
			close(reached)
			<-r.Context().Done()
		}
		ctx, cancel := context.WithCancelCause(t.Context())
		go func() { <-reached; cancel(fmt.Errorf("shutting down")) }()
		begin := time.Now()
		_, err := client.Post(ctx, request("post"), WhySpec)
		if err == nil || time.Since(begin) > 10*time.Second {
			t.Errorf("error %v after %v", err, time.Since(begin))
		}
	})
}
