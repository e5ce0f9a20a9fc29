package tagview

import (
	"bytes"
	"fmt"
	"slices"
	"time"

	imagev1 "github.com/openshift/api/image/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"

	"weir.dev/weir/internal/apiserver/updates"
)

// Server-side apply of a tag is recorded in the managedFields of its stream, as the fields of the
// spec tag that it set: spec.tags[name="TAG"].from and so on. An entry of those who apply tags has
// the subresource "imagestreamtags", whichever view they apply, and holds their fields of all tags
// of the stream. So an apply of the stream, of an imagestreamtag and of an imagetag find each
// other's fields, and fields of a tag that an update of the stream removes are forgotten with it.

// appliedTags is the subresource of the entries for applied tags.
const appliedTags = "imagestreamtags"

// ownerOfStream begins the subresource by which a view shows entries that are not of applied tags:
// a manager that applies both the stream and a tag is two managers, as with the subresources of
// Kubernetes.
const ownerOfStream = "imagestreams"

// Fields are the places where a view shows the fields of its spec tag.
type Fields struct {
	// Spec is the place of the spec tag.
	Spec fieldpath.Path
	// Annotations is the place through which its annotations are written, nil for that in Spec.
	Annotations fieldpath.Path
}

var (
	nameField        = fieldpath.MakePathOrDie("name")[0]
	specTags         = fieldpath.MakePathOrDie("spec", "tags")
	annotationsField = fieldpath.MakePathOrDie("annotations")[0]
)

func itemPath(tag string) fieldpath.Path {
	return fieldpath.MakePathOrDie("spec", "tags", fieldpath.KeyByFields("name", tag))
}

// toView returns the place of a field of the spec tag in the view. The tag itself and its name have
// none: they are there as long as the view is.
func (f Fields) toView(rest fieldpath.Path) (fieldpath.Path, bool) {
	switch {
	case len(rest) == 0 || rest[0].Equals(nameField):
		return nil, false
	case f.Annotations != nil && rest[0].Equals(annotationsField):
		return slices.Concat(f.Annotations, rest[1:]), true
	}
	return slices.Concat(f.Spec, rest), true
}

// toTag returns the place in the spec tag of a field of the view.
func (f Fields) toTag(path fieldpath.Path) (fieldpath.Path, bool) {
	if f.Annotations != nil && hasPrefix(path, f.Annotations) {
		return slices.Concat(fieldpath.Path{annotationsField}, path[len(f.Annotations):]), true
	}
	if !hasPrefix(path, f.Spec) || len(path) == len(f.Spec) || path[len(f.Spec)].Equals(nameField) {
		return nil, false
	}
	return path[len(f.Spec):], true
}

func hasPrefix(path, prefix fieldpath.Path) bool {
	return len(path) >= len(prefix) && path[:len(prefix)].Equals(prefix)
}

// viewManagers returns the managedFields of a view of a tag: those of its stream, as far as they are
// about the tag and can be read.
func (f Fields) viewManagers(s *imagev1.ImageStream, tag string) ([]metav1.ManagedFieldsEntry, error) {
	var entries []metav1.ManagedFieldsEntry
	item := itemPath(tag)
	for i := range s.ManagedFields {
		entry := s.ManagedFields[i]
		owned, ok := fieldsOf(&entry)
		if !ok {
			continue
		}
		shown := fieldpath.NewSet()
		for path := range owned.All() {
			if !hasPrefix(path, item) {
				continue
			}
			if place, ok := f.toView(path[len(item):]); ok {
				shown.Insert(place)
			}
		}
		if shown.Empty() {
			continue
		}
		if err := setFields(&entry, shown); err != nil {
			return nil, err
		}
		entry.Subresource = subresourceOfView(entry.Subresource)
		entries = append(entries, entry)
	}
	return entries, nil
}

func subresourceOfView(ofStream string) string {
	switch ofStream {
	case appliedTags:
		return ""
	case "":
		return ownerOfStream
	}
	return ownerOfStream + "/" + ofStream
}

// applied reports whether managedFields became updated from old by an apply. Other writes of a view
// leave those of the stream alone, as clients know it.
func applied(updated, old []metav1.ManagedFieldsEntry) bool {
	return slices.ContainsFunc(updated, func(e metav1.ManagedFieldsEntry) bool {
		if e.Operation != metav1.ManagedFieldsOperationApply {
			return false
		}
		before := updates.EntryOf(old, &e)
		return before == nil || !e.Time.Equal(before.Time)
	})
}

// recordApply writes the managedFields of a view that was applied into those of the stream. Entries
// whose fields stay the same keep their time, so that an apply that changes nothing writes nothing.
func (f Fields) recordApply(s *imagev1.ImageStream, tag string, view []metav1.ManagedFieldsEntry) error {
	item := itemPath(tag)
	var entries []metav1.ManagedFieldsEntry
	recorded := map[int]bool{}
	for i := range s.ManagedFields {
		entry := s.ManagedFields[i]
		asShown := entry
		asShown.Subresource = subresourceOfView(entry.Subresource)
		at := slices.IndexFunc(view, func(e metav1.ManagedFieldsEntry) bool { return updates.SameManager(&e, &asShown) })
		owned, ok := fieldsOf(&entry)
		if !ok {
			entries = append(entries, entry)
			continue
		}
		now := f.besideView(owned, item, entry.Subresource == appliedTags)
		if at >= 0 {
			recorded[at] = true
			f.addView(now, item, &view[at], entry.Subresource == appliedTags)
		}
		switch {
		case now.Empty():
			continue
		case !now.Equals(owned):
			if at >= 0 {
				entry.Time = view[at].Time
			}
			if err := setFields(&entry, now); err != nil {
				return err
			}
		}
		entries = append(entries, entry)
	}
	for i := range view {
		now := fieldpath.NewSet()
		if recorded[i] || view[i].Subresource != "" {
			continue
		}
		f.addView(now, item, &view[i], true)
		if now.Empty() {
			continue
		}
		entry := view[i]
		entry.Subresource = appliedTags
		if err := setFields(&entry, now); err != nil {
			return err
		}
		entries = append(entries, entry)
	}
	s.ManagedFields = entries
	return nil
}

// besideView returns the fields that are not of the tag, and those of the tag that a view does not
// show; of an entry for applied tags the latter go with the former.
func (f Fields) besideView(owned *fieldpath.Set, item fieldpath.Path, appliedTag bool) *fieldpath.Set {
	kept := fieldpath.NewSet()
	for path := range owned.All() {
		if hasPrefix(path, item) {
			if _, shown := f.toView(path[len(item):]); shown || appliedTag {
				continue
			}
		}
		kept.Insert(path.Copy())
	}
	return kept
}

// addView adds the fields of an entry of the view to those of the stream.
func (f Fields) addView(to *fieldpath.Set, item fieldpath.Path, entry *metav1.ManagedFieldsEntry, appliedTag bool) {
	owned, ok := fieldsOf(entry)
	if !ok {
		return
	}
	found := false
	for path := range owned.All() {
		if place, ok := f.toTag(path); ok {
			to.Insert(slices.Concat(item, place))
			found = true
		}
	}
	if found && appliedTag {
		to.Insert(item)
		to.Insert(slices.Concat(item, fieldpath.Path{nameField}))
	}
}

// forgetTag removes a tag from the entries for applied tags.
func forgetTag(s *imagev1.ImageStream, tag string) error {
	item := itemPath(tag)
	var entries []metav1.ManagedFieldsEntry
	for i := range s.ManagedFields {
		entry := s.ManagedFields[i]
		owned, ok := fieldsOf(&entry)
		if ok && entry.Subresource == appliedTags {
			now := fieldpath.NewSet()
			for path := range owned.All() {
				if !hasPrefix(path, item) {
					now.Insert(path.Copy())
				}
			}
			if now.Empty() {
				continue
			}
			if err := setFields(&entry, now); err != nil {
				return err
			}
		}
		entries = append(entries, entry)
	}
	s.ManagedFields = entries
	return nil
}

// fieldsOf are the fields of an entry. An entry that cannot be read, which a client wrote, has none
// and is left as it is.
func fieldsOf(entry *metav1.ManagedFieldsEntry) (fields *fieldpath.Set, ok bool) {
	set := fieldpath.NewSet()
	if entry.FieldsV1 == nil || set.FromJSON(bytes.NewReader(entry.FieldsV1.GetRawBytes())) != nil {
		return nil, false
	}
	return set, true
}

func setFields(entry *metav1.ManagedFieldsEntry, set *fieldpath.Set) error {
	text, err := set.ToJSON()
	if err != nil {
		return fmt.Errorf("writing the managedFields of %s: %w", entry.Manager, err)
	}
	entry.FieldsType, entry.FieldsV1 = "FieldsV1", metav1.NewFieldsV1(string(text))
	return nil
}

// Written returns when the spec tags of a stream were last written, by tag, as far as managedFields
// tell: the newest time of those who manage fields of the tag.
func Written(s *imagev1.ImageStream) map[string]time.Time {
	written := map[string]time.Time{}
	for i := range s.ManagedFields {
		entry := &s.ManagedFields[i]
		owned, ok := fieldsOf(entry)
		if !ok || entry.Time == nil {
			continue
		}
		for path := range owned.All() {
			if tag := tagOf(path); tag != "" && entry.Time.After(written[tag]) {
				written[tag] = entry.Time.Time
			}
		}
	}
	return written
}

// tagOf is the spec tag that a field of a stream is of, "" for none.
func tagOf(path fieldpath.Path) string {
	if len(path) <= len(specTags) || !hasPrefix(path, specTags) || path[len(specTags)].Key == nil {
		return ""
	}
	for _, key := range *path[len(specTags)].Key {
		if key.Name == "name" && key.Value.IsString() {
			return key.Value.AsString()
		}
	}
	return ""
}
