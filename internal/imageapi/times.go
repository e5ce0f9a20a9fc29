package imageapi

import (
	"time"

	imagev1 "github.com/openshift/api/image/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Times are stored to the second. What a client sends of a second is dropped when it is read:
// otherwise an object that is sent again would differ from the stored one.

func wholeSeconds(t *metav1.Time) {
	if t.Nanosecond() != 0 {
		t.Time = t.Truncate(time.Second)
	}
}

func streamTimes(s *imagev1.ImageStream) {
	each(s.Status.Tags, func(t *imagev1.NamedTagEventList) {
		each(t.Items, func(e *imagev1.TagEvent) { wholeSeconds(&e.Created) })
		each(t.Conditions, func(c *imagev1.TagEventCondition) { wholeSeconds(&c.LastTransitionTime) })
	})
}

func signatureTimes(img *imagev1.Image) {
	each(img.Signatures, func(s *imagev1.ImageSignature) {
		if s.Created != nil {
			wholeSeconds(s.Created)
		}
		each(s.Conditions, func(c *imagev1.SignatureCondition) {
			wholeSeconds(&c.LastProbeTime)
			wholeSeconds(&c.LastTransitionTime)
		})
	})
}
