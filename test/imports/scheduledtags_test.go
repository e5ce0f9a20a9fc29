package imports

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"weir.dev/weir/internal/controller/schedule"
	"weir.dev/weir/internal/stream"
	"weir.dev/weir/internal/testenv"
	"weir.dev/weir/internal/testenv/testimage"
	weirv1alpha1 "weir.dev/weir/internal/weirapi/v1alpha1"
)

// scheduledTags reads a path below the scheduledtags of a namespace as JSON, or as the given type.
func scheduledTags(t *testing.T, ns, name, accept string, into any) error {
	t.Helper()
	body, err := env.Kube.CoreV1().RESTClient().Get().
		AbsPath("/apis/weir.dev/v1alpha1/namespaces/"+ns+"/scheduledtags"+name).
		SetHeader("Accept", accept).DoRaw(t.Context())
	if err != nil {
		return err
	}
	return json.Unmarshal(body, into)
}

// Last and next check of each scheduled tag can be read, and checks write no stream.
func TestScheduledTagsShowTheirChecks(t *testing.T) {
	ns, upstream := env.Namespace(t, "clock"), testenv.NewRegistry(t)
	image := upstream.Push(t, "team/x:1", testimage.Image(t, "linux/amd64"))
	a, broken, plain := dockerTag("a", upstream.Ref("team/x:1")), dockerTag("broken", upstream.Ref("team/gone:1")), dockerTag("plain", upstream.Ref("team/x:1"))
	a.ImportPolicy.Scheduled, broken.ImportPolicy.Scheduled = true, true
	a.Annotations = map[string]string{stream.AnnotationImportInterval: "1s"}
	create(t, ns, a, broken, plain)
	imported(t, ns, "a", image)

	var list weirv1alpha1.ScheduledTagList
	testenv.Eventually(t, "both scheduled tags", func() error {
		if err := scheduledTags(t, ns, "", "application/json", &list); err != nil {
			return err
		}
		if len(list.Items) != 2 || list.Items[0].Name != "s:a" || list.Items[1].Name != "s:broken" {
			return fmt.Errorf("got %+v, want a and broken", list.Items)
		}
		if list.Items[1].Status.Reason == "" {
			return fmt.Errorf("the failure of %+v is not shown", list.Items[1])
		}
		return nil
	})
	if got := list.Items[1]; got.Spec.Interval.Duration != 15*time.Minute || got.Spec.From != upstream.Ref("team/gone:1") ||
		got.Status.LastCheckTime == nil || got.Status.NextCheckTime == nil || got.Status.Image != "" {
		t.Errorf("the tag that fails: %+v", got)
	}

	// As the controller does, which waits half a minute between two writes.
	reached := time.Now().Add(3 * time.Second)
	testenv.Eventually(t, "some checks", func() error {
		if time.Now().Before(reached) {
			return fmt.Errorf("it is not yet %v", reached)
		}
		return nil
	})
	if err := schedule.NewProgress(env.Kube).Save(t.Context(), reached); err != nil {
		t.Fatal(err)
	}
	var one weirv1alpha1.ScheduledTag
	if err := scheduledTags(t, ns, "/s:a", "application/json", &one); err != nil {
		t.Fatal(err)
	}
	last, next := one.Status.LastCheckTime, one.Status.NextCheckTime
	if last == nil || next == nil || last.Before(&metav1.Time{Time: reached.Add(-2 * time.Second)}) || next.Sub(last.Time) != time.Second {
		t.Errorf("checked last at %v and next at %v, want about %v and a second later", last, next, reached)
	}
	if one.Spec.Interval.Duration != time.Second || one.Status.Image != image || one.Status.ImageTime == nil || one.Status.Reason != "" {
		t.Errorf("got %+v", one)
	}

	var table metav1.Table
	if err := scheduledTags(t, ns, "", "application/json;as=Table;v=v1;g=meta.k8s.io", &table); err != nil {
		t.Fatal(err)
	}
	if len(table.Rows) != 2 || !strings.Contains(fmt.Sprint(table.Rows[0].Cells), "ago") || len(table.ColumnDefinitions) != 8 {
		t.Errorf("table %+v", table)
	}
	for _, name := range []string{"/s:plain", "/s:none", "/none:a"} {
		if err := scheduledTags(t, ns, name, "application/json", &one); !apierrors.IsNotFound(err) {
			t.Errorf("%s: %v, want not found", name, err)
		}
	}
	if err := scheduledTags(t, ns, "/s", "application/json", &one); !apierrors.IsBadRequest(err) {
		t.Errorf("a name without a tag: %v, want a bad request", err)
	}
}
