package table

import (
	"fmt"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	weirv1alpha1 "weir.dev/weir/internal/weirapi/v1alpha1"
)

func TestScheduledTags(t *testing.T) {
	timeAt := func(d time.Duration) *metav1.Time { at := metav1.NewTime(now.Add(d)); return &at }
	quarter := weirv1alpha1.ScheduledTagSpec{From: "q.io/x:1", Interval: metav1.Duration{Duration: 15 * time.Minute}}
	for name, test := range map[string]struct {
		status weirv1alpha1.ScheduledTagStatus
		want   string
	}{
		"unknown": {weirv1alpha1.ScheduledTagStatus{}, `["s:a" "15m0s" "" "" "" "" "q.io/x:1" ""]`},
		"checked": {
			weirv1alpha1.ScheduledTagStatus{LastCheckTime: timeAt(-5 * time.Minute), NextCheckTime: timeAt(10 * time.Minute), Image: "sha256:1", ImageTime: timeAt(-48 * time.Hour)},
			`["s:a" "15m0s" "5 minutes ago" "in 10 minutes" "2 days ago" "" "q.io/x:1" "sha256:1"]`,
		},
		"due": {
			weirv1alpha1.ScheduledTagStatus{NextCheckTime: timeAt(0), Reason: "Unauthorized"},
			`["s:a" "15m0s" "" "due" "" "Unauthorized" "q.io/x:1" ""]`,
		},
	} {
		tag := &weirv1alpha1.ScheduledTag{ObjectMeta: metav1.ObjectMeta{Name: "s:a"}, Spec: quarter, Status: test.status}
		table, err := ScheduledTags(withClock(func() time.Time { return now })).ConvertToTable(t.Context(), tag, nil)
		if err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprintf("%q", table.Rows[0].Cells); got != test.want {
			t.Errorf("%s: %s, want %s", name, got, test.want)
		}
	}
}
