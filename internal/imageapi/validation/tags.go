package validation

import (
	"cmp"
	"reflect"
	"strings"

	imagev1 "github.com/openshift/api/image/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"weir.dev/weir/internal/imageapi"
)

// ImageStreamTag validates a new tag. The part of the name after the first colon is the tag; the
// rules of streams apply when the stream is written.
func ImageStreamTag(t *imagev1.ImageStreamTag, allower RegistryAllower) field.ErrorList {
	errs := apivalidation.ValidateObjectMeta(&t.ObjectMeta, true, pathSegment, field.NewPath("metadata"))
	if !strings.Contains(t.Name, ":") {
		errs = append(errs, field.Invalid(field.NewPath("metadata", "name"), t.Name, "must be of the form <stream>:<tag>"))
	}
	return append(errs, streamTagSpec(t, allower)...)
}

// ImageStreamTagUpdate validates a tag that replaces the view computed from the stream. Metadata
// that the server sets defaults to that of old; the storage checks the resourceVersion. The
// current source of the tag stays allowed.
func ImageStreamTagUpdate(updated, old *imagev1.ImageStreamTag, allower RegistryAllower) field.ErrorList {
	meta := field.NewPath("metadata")
	theirs, ours := completeMeta(updated.ObjectMeta, &old.ObjectMeta), completeMeta(old.ObjectMeta, &old.ObjectMeta)
	errs := apivalidation.ValidateObjectMetaUpdate(&theirs, &ours, meta)
	errs = append(errs, streamTagSpec(updated, exemptTag(allower, old.Tag))...)
	theirs.Annotations, ours.Annotations = nil, nil
	if changed := changedMeta(&theirs, &ours); len(changed) > 0 {
		errs = append(errs, field.Invalid(meta, changed, "must not be changed: of an ImageStreamTag only annotations and tag can be"))
	}
	return errs
}

// changedMeta returns the names of the fields in which two ObjectMeta differ.
func changedMeta(updated, old *metav1.ObjectMeta) []string {
	var changed []string
	theirs, ours := reflect.ValueOf(updated).Elem(), reflect.ValueOf(old).Elem()
	for i := range theirs.NumField() {
		if !apiequality.Semantic.DeepEqual(theirs.Field(i).Interface(), ours.Field(i).Interface()) {
			name, _, _ := strings.Cut(theirs.Type().Field(i).Tag.Get("json"), ",")
			changed = append(changed, name)
		}
	}
	return changed
}

// completeMeta returns m with the fields that the server sets, including managedFields, which it
// has updated before. A tag whose stream does not exist yet has no resourceVersion, which the
// common rules of updates do not permit.
func completeMeta(m metav1.ObjectMeta, old *metav1.ObjectMeta) metav1.ObjectMeta {
	m.UID = cmp.Or(m.UID, old.UID)
	m.ResourceVersion = cmp.Or(old.ResourceVersion, "0")
	if m.CreationTimestamp.IsZero() {
		m.CreationTimestamp = old.CreationTimestamp
	}
	if m.DeletionTimestamp == nil {
		m.DeletionTimestamp = old.DeletionTimestamp
		m.DeletionGracePeriodSeconds = old.DeletionGracePeriodSeconds
	}
	m.Generation = old.Generation
	m.ManagedFields = nil
	return m
}

func streamTagSpec(t *imagev1.ImageStreamTag, allower RegistryAllower) field.ErrorList {
	if t.Tag == nil {
		return nil
	}
	at := field.NewPath("tag")
	errs := specTag(t.Tag, at, allower, transportOf(t.Annotations, t.Tag))
	if t.Tag.Annotations != nil && !apiequality.Semantic.DeepEqual(t.Tag.Annotations, t.Annotations) {
		errs = append(errs, field.Invalid(at.Child("annotations"), t.Tag.Annotations, "must be equal to metadata.annotations, or left out"))
	}
	return errs
}

func exemptTag(allower RegistryAllower, old *imagev1.TagReference) RegistryAllower {
	known := exempting{allower, map[string]struct{}{}}
	if old != nil && old.From != nil && old.From.Kind == imageapi.KindDockerImage {
		known.add(old.From.Name)
	}
	return known
}

// ImageTag validates a new tag. The caller must have set an absent spec.name.
func ImageTag(t *imagev1.ImageTag, allower RegistryAllower) field.ErrorList {
	errs := apivalidation.ValidateObjectMeta(&t.ObjectMeta, true, pathSegment, field.NewPath("metadata"))
	if t.Spec == nil {
		return append(errs, field.Required(field.NewPath("spec"), ""))
	}
	return append(errs, imageTagSpec(t, allower)...)
}

// ImageTagUpdate validates a tag that replaces the view computed from the stream. A nil spec
// removes the spec tag. The metadata is the stream's and cannot change here: it must equal that of
// old, except for managedFields and generation, which the server sets. Absent uid,
// resourceVersion and times default to those of old.
func ImageTagUpdate(updated, old *imagev1.ImageTag, allower RegistryAllower) field.ErrorList {
	var errs field.ErrorList
	theirs, ours := completeMeta(updated.ObjectMeta, &old.ObjectMeta), completeMeta(old.ObjectMeta, &old.ObjectMeta)
	theirs.ResourceVersion, ours.ResourceVersion = cmp.Or(updated.ResourceVersion, old.ResourceVersion), old.ResourceVersion
	if changed := changedMeta(&theirs, &ours); len(changed) > 0 {
		errs = append(errs, field.Invalid(field.NewPath("metadata"), changed, "must not be changed: the metadata of an ImageTag is that of its stream"))
	}
	if !apiequality.Semantic.DeepEqual(updated.Status, old.Status) {
		errs = append(errs, field.Invalid(field.NewPath("status"), tagOf(updated.Status), "must not be changed"))
	}
	if updated.Spec == nil {
		return errs
	}
	return append(errs, imageTagSpec(updated, exemptTag(allower, old.Spec))...)
}

// tagOf returns the name of a status tag, as the value in an error.
func tagOf(status *imagev1.NamedTagEventList) any {
	if status == nil {
		return nil
	}
	return status.Tag
}

func imageTagSpec(t *imagev1.ImageTag, allower RegistryAllower) field.ErrorList {
	at := field.NewPath("spec")
	errs := specTag(t.Spec, at, allower, transportOf(t.Annotations, t.Spec))
	_, tag, found := strings.Cut(t.Name, ":")
	switch {
	case !found:
		// Pull specs without a tag mean "latest", image tags do not.
		errs = append(errs, field.Invalid(at.Child("name"), imagev1.DefaultImageTag, "metadata.name must be of the form <stream>:<tag>"))
	case t.Spec.Name != tag:
		errs = append(errs, field.Invalid(at.Child("name"), t.Spec.Name, "must be the tag in metadata.name"))
	}
	return errs
}
