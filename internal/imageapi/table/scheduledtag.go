package table

import (
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/registry/rest"

	weirv1alpha1 "weir.dev/weir/internal/weirapi/v1alpha1"
)

// ScheduledTags prints scheduledtags.
func ScheduledTags(opts ...Option) rest.TableConvertor {
	return newConvertor[weirv1alpha1.ScheduledTag]([]metav1.TableColumnDefinition{
		nameColumn,
		textColumn("Interval", "The time between two checks."),
		textColumn("Last Check", "How long ago the source was last known to be checked."),
		textColumn("Next Check", "When the source is checked next."),
		textColumn("Moved", "How long ago the tag moved to its image."),
		textColumn("Problem", "Why the newest import failed."),
		wide(textColumn("From", "The pull spec that is checked.")),
		wide(textColumn("Image", "The digest of the image that the tag serves.")),
	}, func(t *weirv1alpha1.ScheduledTag, now time.Time) []any {
		return []any{
			t.Name, t.Spec.Interval.Duration.String(), ago(timeOf(t.Status.LastCheckTime), now), in(timeOf(t.Status.NextCheckTime), now),
			ago(timeOf(t.Status.ImageTime), now), t.Status.Reason, t.Spec.From, t.Status.Image,
		}
	}, opts)
}

func timeOf(t *metav1.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return t.Time
}

// in prints when something happens; "" for the zero time.
func in(then, now time.Time) string {
	switch {
	case then.IsZero():
		return ""
	case !then.After(now):
		return "due"
	}
	return "in " + duration(then.Sub(now))
}
