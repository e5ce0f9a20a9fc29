package validation

import (
	"cmp"

	imagev1 "github.com/openshift/api/image/v1"
	corev1 "k8s.io/api/core/v1"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"weir.dev/weir/internal/imageapi"
)

// ImageSignature validates a signature. It checks neither that its name matches the image it is
// added to, nor its bytes.
func ImageSignature(s *imagev1.ImageSignature) field.ErrorList { return signature(s, nil) }

func signature(s *imagev1.ImageSignature, at *field.Path) field.ErrorList {
	meta := at.Child("metadata")
	errs := apivalidation.ValidateObjectMeta(&s.ObjectMeta, false, pathSegment, meta)
	if len(s.Labels) > 0 {
		errs = append(errs, field.Forbidden(meta.Child("labels"), "signatures have no labels"))
	}
	if len(s.Annotations) > 0 {
		errs = append(errs, field.Forbidden(meta.Child("annotations"), "signatures have no annotations"))
	}
	if _, _, err := imageapi.SplitSignatureName(s.Name); err != nil {
		errs = append(errs, field.Invalid(meta.Child("name"), s.Name, err.Error()))
	}
	if s.Type == "" {
		errs = append(errs, field.Required(at.Child("type"), ""))
	}
	if len(s.Content) == 0 {
		errs = append(errs, field.Required(at.Child("content"), ""))
	}
	return append(errs, signatureState(s, at)...)
}

// signatureState checks the consistency of the two conditions that a verifier writes, and of the
// claims that only a verified signature has. Other conditions are not restricted.
func signatureState(s *imagev1.ImageSignature, at *field.Path) field.ErrorList {
	trusted := newestCondition(s.Conditions, imageapi.SignatureTrusted)
	forImage := newestCondition(s.Conditions, imageapi.SignatureForImage)
	var errs field.ErrorList
	if (trusted == nil) != (forImage == nil) {
		errs = append(errs, field.Invalid(at.Child("conditions"), cmp.Or(trusted, forImage).Type, "Trusted and ForImage must be given together"))
	}
	if trusted != nil && trusted.Status != corev1.ConditionUnknown {
		return errs
	}
	unset := func(name string, set bool, value any) {
		if set {
			errs = append(errs, field.Invalid(at.Child(name), value, "must be unset for unknown signature state"))
		}
	}
	unset("imageIdentity", s.ImageIdentity != "", s.ImageIdentity)
	unset("signedClaims", len(s.SignedClaims) > 0, s.SignedClaims)
	unset("issuedBy", s.IssuedBy != nil, s.IssuedBy)
	unset("issuedTo", s.IssuedTo != nil, s.IssuedTo)
	return errs
}

func newestCondition(conditions []imagev1.SignatureCondition, kind imagev1.SignatureConditionType) *imagev1.SignatureCondition {
	var newest *imagev1.SignatureCondition
	for i := range conditions {
		c := &conditions[i]
		if c.Type == kind && (newest == nil || newest.LastProbeTime.Before(&c.LastProbeTime)) {
			newest = c
		}
	}
	return newest
}
