package validation

import (
	"cmp"
	"strings"

	imagev1 "github.com/openshift/api/image/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"weir.dev/weir/internal/imageapi"
)

// ImageStreamTag validates a tag that is created. The part of the name behind the first colon
// is the tag; the rules of streams are applied to the stream when that is written.
func ImageStreamTag(t *imagev1.ImageStreamTag, allower RegistryAllower) field.ErrorList {
	errs := apivalidation.ValidateObjectMeta(&t.ObjectMeta, true, pathSegment, field.NewPath("metadata"))
	if !strings.Contains(t.Name, ":") {
		errs = append(errs, field.Invalid(field.NewPath("metadata", "name"), t.Name, "must be of the form <stream>:<tag>"))
	}
	return append(errs, streamTagSpec(t, allower)...)
}

// ImageStreamTagUpdate validates a tag in place of the view that is synthesised from the
// stream. What a client leaves out of the metadata that the server sets is taken to be that of
// old; whether the resourceVersion is current is decided by the storage. Where the tag came from
// so far stays allowed.
func ImageStreamTagUpdate(updated, old *imagev1.ImageStreamTag, allower RegistryAllower) field.ErrorList {
	meta := field.NewPath("metadata")
	theirs, ours := completeMeta(updated.ObjectMeta, &old.ObjectMeta), completeMeta(old.ObjectMeta, &old.ObjectMeta)
	errs := apivalidation.ValidateObjectMetaUpdate(&theirs, &ours, meta)
	errs = append(errs, streamTagSpec(updated, exemptTag(allower, old.Tag))...)
	theirs.Annotations, ours.Annotations = nil, nil
	if !apiequality.Semantic.DeepEqual(theirs, ours) {
		errs = append(errs, field.Invalid(meta, field.OmitValueType{}, "only annotations, tag and lookupPolicy may be changed"))
	}
	return errs
}

// completeMeta returns m with what a server fills in. managedFields are the server's, too: it
// notes there who sent an update before the update gets here. A tag whose stream is going to be
// created has no resourceVersion, which the common rules of updates do not allow for.
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
		errs = append(errs, field.Invalid(at.Child("annotations"), field.OmitValueType{}, "must be equal to metadata.annotations, or left out"))
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

// ImageTag validates a tag that is created. The caller has set spec.name where it was absent.
func ImageTag(t *imagev1.ImageTag, allower RegistryAllower) field.ErrorList {
	errs := apivalidation.ValidateObjectMeta(&t.ObjectMeta, true, pathSegment, field.NewPath("metadata"))
	if t.Spec == nil {
		return append(errs, field.Required(field.NewPath("spec"), ""))
	}
	return append(errs, imageTagSpec(t, allower)...)
}

// ImageTagUpdate validates a tag in place of the view that is synthesised from the stream. A
// spec of nil removes the spec tag. Of the metadata, which is the stream's, only what tells one
// stream from another is compared: an old resourceVersion must not pass, yet labels and fields
// that others manage are not this request's business. resourceVersion and uid that are absent
// from updated are taken from old.
func ImageTagUpdate(updated, old *imagev1.ImageTag, allower RegistryAllower) field.ErrorList {
	var errs field.ErrorList
	if !sameIdentity(&updated.ObjectMeta, &old.ObjectMeta) {
		errs = append(errs, field.Invalid(field.NewPath("metadata"), field.OmitValueType{}, "name, namespace, uid and resourceVersion must not be changed"))
	}
	if !apiequality.Semantic.DeepEqual(updated.Status, old.Status) {
		errs = append(errs, field.Invalid(field.NewPath("status"), field.OmitValueType{}, "must not be changed"))
	}
	if updated.Spec == nil {
		return errs
	}
	return append(errs, imageTagSpec(updated, exemptTag(allower, old.Spec))...)
}

func sameIdentity(updated, old *metav1.ObjectMeta) bool {
	same := func(updated, old string) bool { return updated == "" || updated == old }
	return updated.Name == old.Name && updated.Namespace == old.Namespace &&
		same(string(updated.UID), string(old.UID)) && same(updated.ResourceVersion, old.ResourceVersion)
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
