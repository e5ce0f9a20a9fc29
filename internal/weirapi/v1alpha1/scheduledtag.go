package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// ScheduledTags is the plural resource name of ScheduledTag.
const ScheduledTags = "scheduledtags"

// KindScheduledTag is the kind of ScheduledTags.
const KindScheduledTag = "ScheduledTag"

// ScheduledTag shows when the source of an image stream's tag is checked. There is one for each tag
// with importPolicy.scheduled, named "stream:tag". It can only be read, and is computed when it is:
// labels and resourceVersion are those of the stream.
type ScheduledTag struct {
	metav1.TypeMeta `json:",inline"`
	// metadata has name, namespace and labels.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// spec is the schedule of the tag.
	// +optional
	Spec ScheduledTagSpec `json:"spec,omitempty"`
	// status is the state of the checks.
	// +optional
	Status ScheduledTagStatus `json:"status,omitempty"`
}

// ScheduledTagSpec is the schedule of a tag.
type ScheduledTagSpec struct {
	// from is the pull spec that is checked.
	// +optional
	From string `json:"from,omitempty"`
	// interval is the time between two checks, as it is in effect.
	// +optional
	Interval metav1.Duration `json:"interval,omitempty"`
}

// ScheduledTagStatus is the state of the checks of a tag.
type ScheduledTagStatus struct {
	// lastCheckTime is when the source was last known to be checked. It appears up to half a minute
	// later. While imports of the tag fail, it is when the first of them in a row failed.
	// +optional
	LastCheckTime *metav1.Time `json:"lastCheckTime,omitempty"`
	// nextCheckTime is when the source is due to be checked, on schedule or because an import
	// failed. It is in the past while the check waits for its turn. Absent where the server makes
	// no scheduled imports.
	// +optional
	NextCheckTime *metav1.Time `json:"nextCheckTime,omitempty"`
	// image is the digest of the image that the tag serves.
	// +optional
	Image string `json:"image,omitempty"`
	// imageTime is when the tag moved to the image.
	// +optional
	ImageTime *metav1.Time `json:"imageTime,omitempty"`
	// reason is the reason of the newest import's failure, absent where it succeeded.
	// +optional
	Reason string `json:"reason,omitempty"`
	// message describes the failure.
	// +optional
	Message string `json:"message,omitempty"`
}

// ScheduledTagList is a list of ScheduledTags.
type ScheduledTagList struct {
	metav1.TypeMeta `json:",inline"`
	// metadata is that of lists.
	// +optional
	metav1.ListMeta `json:"metadata,omitempty"`
	// items are ordered by stream and tag.
	Items []ScheduledTag `json:"items"`
}

// DeepCopyInto copies t over into.
func (t *ScheduledTag) DeepCopyInto(into *ScheduledTag) {
	*into = *t
	t.ObjectMeta.DeepCopyInto(&into.ObjectMeta)
	into.Status.LastCheckTime = t.Status.LastCheckTime.DeepCopy()
	into.Status.NextCheckTime = t.Status.NextCheckTime.DeepCopy()
	into.Status.ImageTime = t.Status.ImageTime.DeepCopy()
}

// DeepCopyObject implements runtime.Object.
func (t *ScheduledTag) DeepCopyObject() runtime.Object {
	if t == nil {
		return nil
	}
	into := new(ScheduledTag)
	t.DeepCopyInto(into)
	return into
}

// DeepCopyObject implements runtime.Object.
func (l *ScheduledTagList) DeepCopyObject() runtime.Object {
	if l == nil {
		return nil
	}
	into := &ScheduledTagList{TypeMeta: l.TypeMeta}
	l.ListMeta.DeepCopyInto(&into.ListMeta)
	if l.Items != nil {
		into.Items = make([]ScheduledTag, len(l.Items))
		for i := range l.Items {
			l.Items[i].DeepCopyInto(&into.Items[i])
		}
	}
	return into
}

// OpenAPIModelName is the name of the type's definition in OpenAPI.
func (ScheduledTag) OpenAPIModelName() string { return modelPackage + "ScheduledTag" }

// OpenAPIModelName is the name of the type's definition in OpenAPI.
func (ScheduledTagSpec) OpenAPIModelName() string { return modelPackage + "ScheduledTagSpec" }

// OpenAPIModelName is the name of the type's definition in OpenAPI.
func (ScheduledTagStatus) OpenAPIModelName() string { return modelPackage + "ScheduledTagStatus" }

// OpenAPIModelName is the name of the type's definition in OpenAPI.
func (ScheduledTagList) OpenAPIModelName() string { return modelPackage + "ScheduledTagList" }
