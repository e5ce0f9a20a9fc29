package tagview

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	imagev1 "github.com/openshift/api/image/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"
)

var (
	streamTagFields = Fields{Spec: fieldpath.MakePathOrDie("tag"), Annotations: fieldpath.MakePathOrDie("metadata", "annotations")}
	imageTagFields  = Fields{Spec: fieldpath.MakePathOrDie("spec")}
)

func managed(manager, subresource string, at int64, fields string) metav1.ManagedFieldsEntry {
	when := metav1.NewTime(time.Unix(at, 0))
	return metav1.ManagedFieldsEntry{
		Manager: manager, Operation: metav1.ManagedFieldsOperationApply, Subresource: subresource, Time: &when,
		FieldsType: "FieldsV1", FieldsV1: metav1.NewFieldsV1(fields),
	}
}

// ofTags are the fields of spec tags in the managedFields of a stream.
func ofTags(tags string) string { return `{"f:spec":{"f:tags":{` + tags + `}}}` }

const wholeTag = `"k:{\"name\":\"1\"}":{".":{},"f:annotations":{"f:a":{}},"f:from":{},"f:name":{}}`

func TestViewManagers(t *testing.T) {
	s := &imagev1.ImageStream{ObjectMeta: metav1.ObjectMeta{ManagedFields: []metav1.ManagedFieldsEntry{
		managed("owner", "", 1, ofTags(wholeTag)),
		managed("m", appliedTags, 2, ofTags(wholeTag+`,"k:{\"name\":\"2\"}":{".":{},"f:name":{},"f:reference":{}}`)),
		managed("status", "status", 3, `{"f:status":{"f:tags":{"k:{\"tag\":\"1\"}":{".":{},"f:tag":{}}}}}`),
		managed("broken", appliedTags, 4, `{"f:spec":`),
	}}}
	asStreamTag, asImageTag := `{"f:metadata":{"f:annotations":{"f:a":{}}},"f:tag":{"f:from":{}}}`, `{"f:spec":{"f:annotations":{"f:a":{}},"f:from":{}}}`
	for name, test := range map[string]struct {
		fields Fields
		tag    string
		want   []metav1.ManagedFieldsEntry
	}{
		"imagestreamtag": {streamTagFields, "1", []metav1.ManagedFieldsEntry{managed("owner", "imagestreams", 1, asStreamTag), managed("m", "", 2, asStreamTag)}},
		"imagetag":       {imageTagFields, "1", []metav1.ManagedFieldsEntry{managed("owner", "imagestreams", 1, asImageTag), managed("m", "", 2, asImageTag)}},
		"another tag":    {imageTagFields, "2", []metav1.ManagedFieldsEntry{managed("m", "", 2, `{"f:spec":{"f:reference":{}}}`)}},
		"no such tag":    {imageTagFields, "3", nil},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := test.fields.viewManagers(s, test.tag)
			if diff := cmp.Diff(test.want, got); err != nil || diff != "" {
				t.Errorf("%v (-want +got):\n%s", err, diff)
			}
		})
	}
}

func TestWritten(t *testing.T) {
	s := &imagev1.ImageStream{ObjectMeta: metav1.ObjectMeta{ManagedFields: []metav1.ManagedFieldsEntry{
		managed("owner", "", 5, ofTags(wholeTag)),
		managed("m", appliedTags, 2, ofTags(wholeTag+`,"k:{\"name\":\"2\"}":{".":{},"f:name":{}}`)),
		managed("status", "status", 9, `{"f:status":{"f:tags":{"k:{\"tag\":\"1\"}":{".":{},"f:tag":{}}}}}`),
		managed("labels", "", 9, `{"f:metadata":{"f:labels":{"f:a":{}}},"f:spec":{"f:tags":{}}}`),
		managed("odd", "", 9, `{"f:spec":{"f:tags":{"k:{\"name\":7}":{},"k:{\"other\":\"1\"}":{},"i:1":{}}}}`),
		managed("broken", appliedTags, 9, `{"f:spec":`),
		{Manager: "timeless", FieldsType: "FieldsV1", FieldsV1: metav1.NewFieldsV1(ofTags(wholeTag))},
	}}}
	want := map[string]time.Time{"1": s.ManagedFields[0].Time.Time, "2": s.ManagedFields[1].Time.Time}
	if diff := cmp.Diff(want, Written(s)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestRecordApply(t *testing.T) {
	other := `,"k:{\"name\":\"2\"}":{".":{},"f:name":{},"f:reference":{}}`
	stored := func() *imagev1.ImageStream {
		return &imagev1.ImageStream{ObjectMeta: metav1.ObjectMeta{ManagedFields: []metav1.ManagedFieldsEntry{
			managed("owner", "", 1, ofTags(wholeTag)),
			managed("m", appliedTags, 2, ofTags(wholeTag+other)),
			managed("broken", appliedTags, 4, `{"f:spec":`),
		}}}
	}
	before := stored().ManagedFields
	owner := managed("owner", "imagestreams", 1, `{"f:metadata":{"f:annotations":{"f:a":{}}},"f:tag":{"f:from":{}}}`)
	for name, test := range map[string]struct {
		view, want []metav1.ManagedFieldsEntry
	}{
		"the same again": {
			[]metav1.ManagedFieldsEntry{owner, managed("m", "", 9, `{"f:metadata":{"f:annotations":{"f:a":{}}},"f:tag":{"f:from":{},"f:name":{}}}`)},
			before,
		},
		"a field taken from the owner of the stream": {
			[]metav1.ManagedFieldsEntry{managed("owner", "imagestreams", 1, `{"f:metadata":{"f:annotations":{"f:a":{}}}}`), managed("m", "", 9, `{"f:metadata":{"f:annotations":{"f:a":{}}},"f:tag":{"f:from":{}}}`)},
			[]metav1.ManagedFieldsEntry{managed("owner", "", 1, ofTags(`"k:{\"name\":\"1\"}":{".":{},"f:annotations":{"f:a":{}},"f:name":{}}`)), before[1], before[2]},
		},
		"a manager that lost all of a tag": {
			[]metav1.ManagedFieldsEntry{owner, managed("n", "", 9, `{"f:tag":{"f:from":{}}}`)},
			[]metav1.ManagedFieldsEntry{before[0], managed("m", appliedTags, 2, ofTags(other[1:])), before[2], managed("n", appliedTags, 9, ofTags(`"k:{\"name\":\"1\"}":{".":{},"f:from":{},"f:name":{}}`))},
		},
		"fields that are not of the tag": {
			[]metav1.ManagedFieldsEntry{owner, managed("m", "", 2, `{"f:metadata":{"f:annotations":{"f:a":{}}},"f:tag":{"f:from":{}}}`), managed("n", "", 9, `{"f:image":{},"f:lookupPolicy":{}}`)},
			before,
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := stored()
			err := streamTagFields.recordApply(s, "1", test.view)
			if diff := cmp.Diff(test.want, s.ManagedFields); err != nil || diff != "" {
				t.Errorf("%v (-want +got):\n%s", err, diff)
			}
		})
	}
}

func TestForgetTag(t *testing.T) {
	s := &imagev1.ImageStream{ObjectMeta: metav1.ObjectMeta{ManagedFields: []metav1.ManagedFieldsEntry{
		managed("owner", "", 1, ofTags(wholeTag)), managed("m", appliedTags, 2, ofTags(wholeTag)),
	}}}
	want := s.ManagedFields[:1]
	if err := forgetTag(s, "1"); err != nil || cmp.Diff(want, s.ManagedFields) != "" {
		t.Errorf("%v: %v, want the entry of the stream alone", err, s.ManagedFields)
	}
}
