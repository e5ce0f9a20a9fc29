package updates

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	imagev1 "github.com/openshift/api/image/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func entry(manager string, operation metav1.ManagedFieldsOperationType, at int64, fields string) metav1.ManagedFieldsEntry {
	when := metav1.NewTime(time.Unix(at, 0))
	return metav1.ManagedFieldsEntry{Manager: manager, Operation: operation, Time: &when, FieldsV1: metav1.NewFieldsV1(fields)}
}

func TestKeepManagersIfUnchanged(t *testing.T) {
	type entries = []metav1.ManagedFieldsEntry
	const update, apply = metav1.ManagedFieldsOperationUpdate, metav1.ManagedFieldsOperationApply
	old := entries{entry("a", apply, 1, `{"f:x":{}}`), entry("u", update, 1, `{"f:y":{}}`)}
	for name, test := range map[string]struct {
		updated entries
		label   string // another label than before
		kept    bool
	}{
		"an update is noted":              {entries{old[0], old[1], entry("v", update, 2, `{"f:x":{}}`)}, "", true},
		"an update is noted again":        {entries{old[0], entry("u", update, 2, `{"f:x":{}}`)}, "", true},
		"fields are lost to an update":    {entries{entry("a", apply, 1, `{}`), old[1], entry("v", update, 2, `{"f:x":{}}`)}, "", true},
		"an entry is lost to an update":   {entries{old[1], entry("v", update, 2, `{"f:x":{}}`)}, "", true},
		"an update changes a label":       {entries{old[0], old[1], entry("v", update, 2, `{"f:x":{}}`)}, "n", false},
		"an apply takes fields":           {entries{old[0], old[1], entry("b", apply, 2, `{"f:x":{}}`)}, "", false},
		"an apply is repeated":            {entries{entry("a", apply, 2, `{"f:x":{}}`), old[1]}, "", false},
		"a client removes all entries":    {nil, "", false},
		"a client removes one entry":      {entries{old[0]}, "", false},
		"a client turns update to apply":  {entries{entry("a", apply, 1, `{"f:x":{},"f:y":{}}`)}, "", false},
		"a client sets times of its own":  {entries{entry("a", apply, 3, `{"f:x":{}}`), entry("u", update, 3, `{"f:y":{}}`)}, "", false},
		"nothing is noted, label changed": {old, "n", false},
	} {
		t.Run(name, func(t *testing.T) {
			stored := &imagev1.ImageStream{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"l": "m"}, ManagedFields: old}}
			updated := stored.DeepCopy()
			updated.ManagedFields = test.updated
			if test.label != "" {
				updated.Labels["l"] = test.label
			}
			KeepManagersIfUnchanged(updated, stored)
			want := test.updated
			if test.kept {
				want = old
			}
			if diff := cmp.Diff(want, updated.ManagedFields); diff != "" {
				t.Errorf("managedFields (-want +got):\n%s", diff)
			}
		})
	}
}
