package validation

import (
	"fmt"

	imagev1 "github.com/openshift/api/image/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"weir.dev/weir/internal/imageapi"
	"weir.dev/weir/internal/reference"
)

// specTag validates a spec tag in a stream, an ImageStreamTag or an ImageTag, except for its name,
// which tagName validates. transport is the transport that the tag may use.
func specTag(t *imagev1.TagReference, at *field.Path, allower RegistryAllower, transport Transport) field.ErrorList {
	var errs field.ErrorList
	if t.From != nil {
		errs = append(errs, tagSource(t, at, allower, transport)...)
	}
	switch t.ReferencePolicy.Type {
	case imagev1.SourceTagReferencePolicy, imagev1.LocalTagReferencePolicy:
	default:
		errs = append(errs, field.Invalid(at.Child("referencePolicy", "type"), t.ReferencePolicy.Type,
			fmt.Sprintf("must be %q or %q", imagev1.SourceTagReferencePolicy, imagev1.LocalTagReferencePolicy)))
	}
	return append(errs, importMode(t.ImportPolicy, at.Child("importPolicy"))...)
}

func importMode(policy imagev1.TagImportPolicy, at *field.Path) field.ErrorList {
	switch policy.ImportMode {
	case "", imagev1.ImportModeLegacy, imagev1.ImportModePreserveOriginal:
		return nil
	}
	return field.ErrorList{field.Invalid(at.Child("importMode"), policy.ImportMode,
		fmt.Sprintf("must be %q or %q", imagev1.ImportModeLegacy, imagev1.ImportModePreserveOriginal))}
}

func tagSource(t *imagev1.TagReference, at *field.Path, allower RegistryAllower, transport Transport) field.ErrorList {
	var errs field.ErrorList
	from := at.Child("from")
	if t.From.Name == "" {
		errs = append(errs, field.Required(from.Child("name"), ""))
	}
	switch t.From.Kind {
	case imageapi.KindDockerImage:
		if t.From.Name != "" {
			errs = append(errs, allowedPullSpec(t.From.Name, from.Child("name"), allower, transport)...)
		}
	case imageapi.KindImageStreamTag, imageapi.KindImageStreamImage:
		if t.ImportPolicy.Scheduled {
			errs = append(errs, field.Invalid(at.Child("importPolicy", "scheduled"), true,
				fmt.Sprintf("only tags from a %s can be imported on a schedule", imageapi.KindDockerImage)))
		}
	default:
		errs = append(errs, field.Required(from.Child("kind"), fmt.Sprintf("must be %s, %s or %s",
			imageapi.KindDockerImage, imageapi.KindImageStreamTag, imageapi.KindImageStreamImage)))
	}
	return errs
}

// allowedPullSpec validates a pull spec of a registry that must be allow-listed.
func allowedPullSpec(text string, at *field.Path, allower RegistryAllower, transport Transport) field.ErrorList {
	spec, err := reference.Parse(text)
	if err != nil {
		return field.ErrorList{field.Invalid(at, text, fault(err))}
	}
	if err := allower.Allowed(spec, transport); err != nil {
		return field.ErrorList{field.Forbidden(at, err.Error())}
	}
	return nil
}

// tagName validates the name of a tag that is new to its stream. Existing tags may predate this
// rule and are not checked.
func tagName(name string, at *field.Path) field.ErrorList {
	if reference.ValidTag(name) {
		return nil
	}
	return field.ErrorList{field.Invalid(at.Child("name"), name,
		"must be a tag as registries know them: at most 128 letters, digits, '_', '.' or '-', the first neither '.' nor '-'")}
}

// importSource validates the from of an import: always a DockerImage.
func importSource(from corev1.ObjectReference, at *field.Path, check func(string) error) field.ErrorList {
	var errs field.ErrorList
	if from.Kind != imageapi.KindDockerImage {
		errs = append(errs, field.Invalid(at.Child("kind"), from.Kind, fmt.Sprintf("only %s can be imported", imageapi.KindDockerImage)))
	}
	return append(errs, required(from.Name, at.Child("name"), check)...)
}
