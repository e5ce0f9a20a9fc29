package chaos_test

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	imagev1 "github.com/openshift/api/image/v1"
	clientv3 "go.etcd.io/etcd/client/v3"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/util/retry"

	"weir.dev/weir/internal/stream"
	"weir.dev/weir/internal/testenv"
	"weir.dev/weir/internal/testenv/testimage"
)

// hastyConfig has failed tags tried again within a second or two, and scheduled ones
// checked every second.
const hastyConfig = `
imports:
  retry: {base: 100ms, slowBase: 100ms, max: 500ms}
schedule: {interval: 1s, minimumInterval: 1s, maxPerMinute: -1}
`

func getStream(t *testing.T, env *testenv.Env, ns, name string) *imagev1.ImageStream {
	t.Helper()
	s, err := env.Images.ImageV1().ImageStreams(ns).Get(t.Context(), name, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// changeStream changes a stream as clients do, starting over when somebody else did.
func changeStream(t *testing.T, env *testenv.Env, ns, name string, change func(*imagev1.ImageStream)) {
	t.Helper()
	if err := updateStream(t.Context(), env, ns, name, change); err != nil {
		t.Fatal(err)
	}
}

func updateStream(ctx context.Context, env *testenv.Env, ns, name string, change func(*imagev1.ImageStream)) error {
	return retry.RetryOnConflict(patient, func() error {
		s, err := env.Images.ImageV1().ImageStreams(ns).Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		change(s)
		_, err = env.Images.ImageV1().ImageStreams(ns).Update(ctx, s, metav1.UpdateOptions{})
		return err
	})
}

func waitHead(t *testing.T, env *testenv.Env, ns, name, tag, image string) *imagev1.ImageStream {
	t.Helper()
	var s *imagev1.ImageStream
	testenv.Eventually(t, fmt.Sprintf("tag %s of %s to be %s", tag, name, image), func() error {
		s = getStream(t, env, ns, name)
		if got := headOf(s, tag); got != image {
			return fmt.Errorf("it is %q: %+v", got, s.Status.Tags)
		}
		return nil
	})
	return s
}

// waitEvent waits for a Kubernetes Event about a stream whose note has a part.
func waitEvent(t *testing.T, env *testenv.Env, ns, reason, kind, part string) {
	t.Helper()
	testenv.Eventually(t, "event "+reason, func() error {
		events, err := env.Kube.EventsV1().Events(ns).List(t.Context(), metav1.ListOptions{})
		if err != nil {
			return err
		}
		var seen []string
		for _, e := range events.Items {
			if e.Reason == reason && e.Type == kind && contains(e.Note, part) && e.Regarding.Kind == "ImageStream" {
				return nil
			}
			seen = append(seen, e.Type+" "+e.Reason+" "+e.Note)
		}
		return fmt.Errorf("only %q", seen)
	})
}

func waitCount(t *testing.T, upstream *testenv.Registry, prefix string, least int) {
	t.Helper()
	testenv.Eventually(t, fmt.Sprintf("%d requests %s", least, prefix), func() error {
		if n := upstream.Count(prefix); n < least {
			return fmt.Errorf("%d of %v", n, upstream.Asked())
		}
		return nil
	})
}

// TestFailedTagsAreTriedAgain follows tags that fail until they do not, and until
// nobody asks for them any more.
func TestFailedTagsAreTriedAgain(t *testing.T) {
	t.Parallel()
	env := testenv.Start(t, withConfig(t, hastyConfig))
	ns, upstream := env.Namespace(t, "retry"), testenv.NewRegistry(t)
	path := func(tag string) string { return "GET /v2/team/app/manifests/" + tag }
	makeStream(t, env, ns, "s", pullTag("late", upstream.Ref("team/app:late")), pullTag("removed", upstream.Ref("team/app:removed")),
		pullTag("moved", upstream.Ref("team/app:moved")), pullTag("control", upstream.Ref("team/app:control")))

	s := waitAnswered(t, env, ns, "s", 4)
	if c := conditionOf(s, "late"); c == nil || c.Reason != "NotFound" || c.Generation != s.Generation {
		t.Errorf("after the first attempt: %+v, stream at %d", c, s.Generation)
	}
	waitEvent(t, env, ns, "ImportFailed", corev1.EventTypeWarning, "tag late")
	waitEvent(t, env, ns, "ImportRetry", corev1.EventTypeNormal, "tag late")
	var generation int64
	testenv.Eventually(t, "a third attempt to be noted", func() error {
		s := getStream(t, env, ns, "s")
		generation = s.Generation
		c := conditionOfType(s, "late", stream.ConditionImportRetry)
		if at, ok := stream.RetryOf(s, "late"); !ok || at.Attempt < 3 || c.Status != corev1.ConditionTrue || c.Reason != stream.ReasonBackOff || c.Message == "" {
			return fmt.Errorf("noted is %+v, %+v", at, c)
		}
		return nil
	})
	if generation != 2 {
		t.Errorf("the same failures took the stream to generation %d, want 2", generation)
	}

	image := upstream.Push(t, "team/app:late", testimage.Image(t, "linux/amd64"))
	s = waitHead(t, env, ns, "s", "late", image)
	if conditionOf(s, "late") != nil || conditionOfType(s, "late", stream.ConditionImportRetry) != nil {
		t.Errorf("conditions after success: %+v", s.Status.Tags)
	}
	waitEvent(t, env, ns, "ImportSucceeded", corev1.EventTypeNormal, "tag late")

	other := upstream.Push(t, "team/app:other", testimage.Image(t, "linux/amd64"))
	changeStream(t, env, ns, "s", func(s *imagev1.ImageStream) {
		stream.RemoveSpecTag(s, "removed")
		stream.SpecTag(s, "moved").From.Name = upstream.Ref("team/app:other")
	})
	s = waitHead(t, env, ns, "s", "moved", other)
	// What was under way when the spec changed has ended once control is tried again,
	// and again.
	upstream.Reset()
	waitCount(t, upstream, path("control"), 2)
	upstream.Reset()
	waitCount(t, upstream, path("control"), 3)
	for _, line := range upstream.Asked() {
		if !strings.HasSuffix(line, "/control") && line != "GET /v2/" {
			t.Errorf("asked for nobody's sake: %s", line)
		}
	}
	if c := conditionOfType(getStream(t, env, ns, "s"), "removed", stream.ConditionImportRetry); c != nil {
		t.Errorf("a tag that is gone from spec is still retried: %+v", c)
	}
	_ = s
	changeStream(t, env, ns, "s", func(s *imagev1.ImageStream) { s.Spec.Tags = nil })
}

// etcdWrites are the keys that are written while a test looks, beside leases and
// what the control plane does for itself.
type etcdWrites struct{ events clientv3.WatchChan }

// watchWrites begins to look. Everything written before it returns is not seen.
func watchWrites(ctx context.Context, t *testing.T, e *etcdProcess) etcdWrites {
	t.Helper()
	client := e.client(t)
	now, err := client.Get(ctx, "a key")
	if err != nil {
		t.Fatal(err)
	}
	return etcdWrites{client.Watch(ctx, "/registry/", clientv3.WithPrefix(), clientv3.WithRev(now.Header.Revision+1))}
}

// until are the keys written until one is, in order and without it.
func (w etcdWrites) until(t *testing.T, last string) []string {
	t.Helper()
	var keys []string
	for response := range w.events {
		for _, e := range response.Events {
			key := string(e.Kv.Key)
			switch {
			case contains(key, last):
				return keys
			case strings.HasPrefix(key, "/registry/leases/"), strings.HasPrefix(key, "/registry/masterleases/"):
			default:
				keys = append(keys, fmt.Sprintf("%s %s", e.Type, key))
			}
		}
	}
	t.Fatal("the watch of etcd ended")
	return nil
}

// TestScheduledTagsCostOneQuestion has scheduled tags checked again and again.
func TestScheduledTagsCostOneQuestion(t *testing.T) {
	t.Parallel()
	e := startEtcd(t)
	env := testenv.Start(t, withConfig(t, hastyConfig), e.use)
	ns, upstream := env.Namespace(t, "schedule"), testenv.NewRegistry(t)
	list, _ := testimage.List(t, "linux/amd64", "linux/arm64")
	images := map[string]string{
		"plain": upstream.Push(t, "team/app:plain", testimage.Image(t, "linux/amd64")),
		"oci":   upstream.Push(t, "team/app:oci", testimage.OCIImage(t, "linux/amd64")),
		"list":  upstream.Push(t, "team/app:list", list),
	}
	var tags []imagev1.TagReference
	for name := range images {
		tag := pullTag(name, upstream.Ref("team/app:"+name))
		tag.ImportPolicy.Scheduled = true
		if name == "list" {
			tag.ImportPolicy.ImportMode = imagev1.ImportModePreserveOriginal
		}
		tags = append(tags, tag)
	}
	makeStream(t, env, ns, "s", tags...)
	var before *imagev1.ImageStream
	for name, image := range images {
		before = waitHead(t, env, ns, "s", name, image)
	}
	waitCount(t, upstream, "HEAD /v2/team/app/manifests/list", 1) // the first check, which may still learn

	upstream.Reset()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	writes := watchWrites(ctx, t, e)
	const checks = 4
	for name := range images {
		waitCount(t, upstream, "HEAD /v2/team/app/manifests/"+name, checks)
	}
	asked := upstream.Asked()
	// A marker of our own ends what etcd tells; all checks so far came before it.
	marker := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "marker"}}
	if _, err := env.Kube.CoreV1().ConfigMaps(ns).Create(t.Context(), marker, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if keys := writes.until(t, "/configmaps/"+ns+"/marker"); len(keys) > 0 {
		t.Errorf("%d checks of unchanged tags wrote: %q", checks, keys)
	}
	if after := getStream(t, env, ns, "s"); after.ResourceVersion != before.ResourceVersion {
		t.Errorf("checks of unchanged tags took the stream from %s to %s", before.ResourceVersion, after.ResourceVersion)
	}
	count := map[string]int{}
	for _, line := range asked {
		count[line]++
	}
	for line, n := range count {
		if !strings.HasPrefix(line, "HEAD /v2/team/app/manifests/") || n > checks+1 {
			t.Errorf("%d requests %s in %d checks", n, line, checks)
		}
	}

	moved := upstream.Push(t, "team/app:plain", testimage.Image(t, "linux/amd64"))
	s := waitHead(t, env, ns, "s", "plain", moved)
	items := stream.StatusTag(s, "plain").Items
	if len(items) != 2 || items[1].Image != images["plain"] || items[0].Generation != s.Generation {
		t.Errorf("history after upstream moved: %+v, stream at %d", items, s.Generation)
	}
	if got := headOf(s, "oci"); got != images["oci"] {
		t.Errorf("another tag moved as well, to %s", got)
	}

	// A registry that is gone costs a condition, once, and not the history.
	upstream.Intercept(func(w http.ResponseWriter, _ *http.Request) bool {
		w.WriteHeader(http.StatusServiceUnavailable)
		return true
	})
	testenv.Eventually(t, "failed checks", func() error {
		s = getStream(t, env, ns, "s")
		if c := conditionOf(s, "plain"); c == nil || !contains(c.Message, "503") {
			return fmt.Errorf("conditions %+v", c)
		}
		return nil
	})
	if headOf(s, "plain") != moved {
		t.Error("a failed check lost the head of the tag")
	}
	upstream.Intercept(nil)
	testenv.Eventually(t, "the tags to be well again", func() error {
		s = getStream(t, env, ns, "s")
		if slices.ContainsFunc(s.Status.Tags, func(list imagev1.NamedTagEventList) bool { return len(list.Conditions) > 0 }) {
			return fmt.Errorf("conditions %+v", s.Status.Tags)
		}
		return nil
	})
	if len(stream.StatusTag(s, "plain").Items) != 2 {
		t.Errorf("history after the registry was away: %+v", stream.StatusTag(s, "plain").Items)
	}
}
