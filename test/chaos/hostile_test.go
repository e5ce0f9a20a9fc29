package chaos_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"

	imagev1 "github.com/openshift/api/image/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"weir.dev/weir/internal/testenv"
	"weir.dev/weir/internal/testenv/testimage"
)

// startFaults starts a registry for each fault.
func startFaults(t *testing.T) []*faulty {
	t.Helper()
	released := make(chan struct{})
	b := startBystander(t)
	all := make([]*faulty, len(faults))
	for i := range faults {
		f := &faulty{Registry: testenv.NewRegistry(t), bystander: b, released: released}
		if serve := faults[i].serve; serve != nil {
			f.Intercept(func(w http.ResponseWriter, r *http.Request) bool {
				if r.URL.Path == "/v2/" && !faults[i].ping {
					return false
				}
				serve(f, w, r)
				return true
			})
		} else {
			var nested = testimage.Nest(testimage.OCIImage(t, "linux/amd64"), "linux/amd64")
			for range 6 {
				nested = testimage.Nest(nested, "linux/amd64")
			}
			f.Push(t, "team/app:1", nested)
		}
		all[i] = f
	}
	t.Cleanup(func() { close(released) }) // before the registries close
	return all
}

func startBystander(t *testing.T) *bystander {
	t.Helper()
	registry, b := testenv.NewRegistry(t), &bystander{}
	b.host = registry.Host
	registry.Intercept(func(w http.ResponseWriter, r *http.Request) bool {
		b.asked.Add(1)
		if r.Header.Get("Authorization") != "" || len(leaked(fmt.Append(nil, r.Header, r.URL))) > 0 {
			b.logins.Add(1)
		}
		w.WriteHeader(http.StatusNotFound)
		return true
	})
	return b
}

// TestHostileRegistries imports a tag from each faulty registry, and sound tags
// beside them, all by one stream and all by one import.
func TestHostileRegistries(t *testing.T) {
	env := testenv.Start(t, withConfig(t, hostileConfig))
	ns := env.Namespace(t, "hostile")
	registries, sound := startFaults(t), testenv.NewRegistry(t)
	logins := map[string]string{}
	for _, f := range registries {
		logins[f.Host] = secretUser + ":" + secretPassword
	}
	if _, err := env.Kube.CoreV1().Secrets(ns).Create(t.Context(), testenv.PullSecret(t, "login", logins), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	s := &imagev1.ImageStream{ObjectMeta: metav1.ObjectMeta{Name: "all"}}
	isi := importOf("looked-at")
	isi.Spec.Import = false
	for i, f := range registries {
		tag, image := pullTag(faults[i].name, f.Ref("team/app:1")), imageImport(faults[i].name, f.Ref("team/app:1"))
		tag.ImportPolicy.ImportMode, image.ImportPolicy.ImportMode = faults[i].mode, faults[i].mode
		s.Spec.Tags, isi.Spec.Images = append(s.Spec.Tags, tag), append(isi.Spec.Images, image)
	}
	good := map[string]string{}
	for i := range 5 {
		tag := "sound-" + strconv.Itoa(i)
		good[tag] = sound.Push(t, "team/app:"+tag, testimage.Image(t, "linux/amd64"))
		s.Spec.Tags = append(s.Spec.Tags, pullTag(tag, sound.Ref("team/app:"+tag)))
		isi.Spec.Images = append(isi.Spec.Images, imageImport(tag, sound.Ref("team/app:"+tag)))
	}
	memory := watchMemory(t)

	answered, err := env.Images.ImageV1().ImageStreamImports(ns).Create(t.Context(), isi, metav1.CreateOptions{})
	if err != nil {
		t.Fatalf("the whole import failed: %v", err)
	}
	for i := range faults {
		faults[i].check(t, "import", registries[i].Host, &answered.Status.Images[i].Status)
	}
	for i := len(faults); i < len(isi.Spec.Images); i++ {
		if status := answered.Status.Images[i]; status.Status.Status != metav1.StatusSuccess || status.Image.Name != good[isi.Spec.Images[i].To.Name] {
			t.Errorf("sound image %s: %+v", isi.Spec.Images[i].To.Name, status.Status)
		}
	}

	if _, err := env.Images.ImageV1().ImageStreams(ns).Create(t.Context(), s, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	s = waitAnswered(t, env, ns, "all", len(s.Spec.Tags))
	for i := range faults {
		condition := conditionOf(s, faults[i].name)
		if condition == nil || headOf(s, faults[i].name) != "" {
			t.Errorf("%s: condition %v, head %q", faults[i].name, condition, headOf(s, faults[i].name))
			continue
		}
		faults[i].check(t, "stream", registries[i].Host, &metav1.Status{Status: metav1.StatusFailure, Reason: metav1.StatusReason(condition.Reason), Message: condition.Message,
			Details: answered.Status.Images[i].Status.Details, Code: answered.Status.Images[i].Status.Code})
	}
	for tag, image := range good {
		if got := headOf(s, tag); got != image {
			t.Errorf("sound tag %s is %q, want %q: %+v", tag, got, image, conditionOf(s, tag))
		}
	}
	memory.check(t, 512<<20)
	for i, f := range registries {
		if sent := f.sent.Load(); sent > 80<<20 {
			t.Errorf("%s: %d MiB were read", faults[i].name, sent>>20)
		}
	}
	if b := registries[0].bystander; b.asked.Load() == 0 || b.logins.Load() > 0 {
		t.Errorf("the host that registries redirect to was asked %d times, %d times with a login", b.asked.Load(), b.logins.Load())
	}
	wantNoSecrets(t, env, ns, answered)
}

func (f *fault) check(t *testing.T, where, host string, status *metav1.Status) {
	t.Helper()
	want := strings.ReplaceAll(f.message, "{host}", host)
	if status.Status != metav1.StatusFailure || status.Reason != f.reason || !contains(status.Message, want) {
		t.Errorf("%s (%s): %s %q, want %s with %q", f.name, where, status.Reason, status.Message, f.reason, want)
	}
	if code := map[metav1.StatusReason]int32{internal: 500, metav1.StatusReasonNotFound: 404, metav1.StatusReasonUnauthorized: 401}[f.reason]; status.Code != code {
		t.Errorf("%s (%s): code %d, want %d", f.name, where, status.Code, code)
	}
	if !contains(status.Message, host+"/team/app") {
		t.Errorf("%s (%s): %q does not name the image", f.name, where, status.Message)
	}
	if len(status.Message) > 4<<10 {
		t.Errorf("%s (%s): a message of %d bytes", f.name, where, len(status.Message))
	}
	if f.wait > 0 && (status.Details == nil || status.Details.RetryAfterSeconds != f.wait) {
		t.Errorf("%s (%s): details %+v, want a pause of %d s", f.name, where, status.Details, f.wait)
	}
}

// waitAnswered waits until every tag of a stream was imported or has failed.
func waitAnswered(t *testing.T, env *testenv.Env, ns, name string, tags int) *imagev1.ImageStream {
	t.Helper()
	var s *imagev1.ImageStream
	testenv.Eventually(t, "an answer for each tag", func() (err error) {
		if s, err = env.Images.ImageV1().ImageStreams(ns).Get(t.Context(), name, metav1.GetOptions{}); err != nil {
			return err
		}
		if len(s.Status.Tags) != tags {
			return fmt.Errorf("%d of %d tags are answered", len(s.Status.Tags), tags)
		}
		return nil
	})
	return s
}

// conditionOf is the failed import of a tag, nil for none.
func conditionOf(s *imagev1.ImageStream, tag string) *imagev1.TagEventCondition {
	return conditionOfType(s, tag, imagev1.ImportSuccess)
}

func conditionOfType(s *imagev1.ImageStream, tag string, kind imagev1.TagEventConditionType) *imagev1.TagEventCondition {
	for _, list := range s.Status.Tags {
		for i := range list.Conditions {
			if list.Tag == tag && list.Conditions[i].Type == kind {
				return &list.Conditions[i]
			}
		}
	}
	return nil
}

// wantNoSecrets looks for the login in whatever everybody can read.
func wantNoSecrets(t *testing.T, env *testenv.Env, ns string, more ...any) {
	t.Helper()
	for _, path := range []string{
		"/apis/image.openshift.io/v1/imagestreams", "/apis/image.openshift.io/v1/images", "/api/v1/events",
		"/apis/events.k8s.io/v1/events", "/metrics", "/apis/image.openshift.io/v1/namespaces/" + ns + "/imagestreams",
	} {
		body, err := env.Kube.Discovery().RESTClient().Get().AbsPath(path).DoRaw(t.Context())
		if err != nil {
			t.Errorf("reading %s: %v", path, err)
		}
		if found := leaked(body); len(found) > 0 {
			t.Errorf("%s holds %q", path, found)
		}
	}
	for _, m := range more {
		body, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		if found := leaked(body); len(found) > 0 {
			t.Errorf("the answer holds %q: %s", found, body)
		}
	}
	if found := serverLog.leaks(); len(found) > 0 || serverLog.size() == 0 {
		t.Errorf("of %d bytes of log: %q", serverLog.size(), found)
	}
}
