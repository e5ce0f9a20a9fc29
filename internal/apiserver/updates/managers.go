package updates

import (
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// Object is an object that can be written.
type Object interface {
	metav1.Object
	runtime.Object
}

// KeepManagersIfUnchanged gives updated the managedFields of old if the two differ in nothing else, so that
// the store has nothing to write.
//
// The server notes the manager of an update before it restores what a client may not change: the
// generation of a tag that a manifest leaves out, a status, the content of an Image. Such an update
// seems to set fields and sets none. An apply is different, as it declares ownership of fields
// whether or not their values change; of it only the time is ignored, by the generic server. A
// client that edits managedFields itself gets what it wrote.
func KeepManagersIfUnchanged(updated, old Object) {
	theirs, ours := updated.GetManagedFields(), old.GetManagedFields()
	if !notedUpdate(theirs, ours) {
		return
	}
	updated.SetManagedFields(ours)
	if !equality.Semantic.DeepEqual(updated, old) {
		updated.SetManagedFields(theirs)
	}
}

// notedUpdate reports whether managedFields became updated from old because the server noted one
// update: one entry of the operation Update is new or has another time, and all others kept their
// times. Others can have lost fields to the update, even all of them.
func notedUpdate(updated, old []metav1.ManagedFieldsEntry) bool {
	noted := 0
	for i := range updated {
		entry := &updated[i]
		if before := EntryOf(old, entry); before != nil && entry.Time.Equal(before.Time) {
			continue
		}
		if entry.Operation != metav1.ManagedFieldsOperationUpdate {
			return false
		}
		noted++
	}
	return noted == 1
}

// EntryOf returns the entry of the same manager, or nil.
func EntryOf(entries []metav1.ManagedFieldsEntry, like *metav1.ManagedFieldsEntry) *metav1.ManagedFieldsEntry {
	for i := range entries {
		if SameManager(&entries[i], like) {
			return &entries[i]
		}
	}
	return nil
}

// SameManager compares the fields by which managers differ. The version is none of them in an apply.
func SameManager(a, b *metav1.ManagedFieldsEntry) bool {
	return a.Manager == b.Manager && a.Operation == b.Operation && a.Subresource == b.Subresource &&
		(a.Operation == metav1.ManagedFieldsOperationApply || a.APIVersion == b.APIVersion)
}
