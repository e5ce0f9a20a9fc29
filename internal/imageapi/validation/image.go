package validation

import (
	"errors"
	"fmt"
	"regexp"

	imagev1 "github.com/openshift/api/image/v1"
	"k8s.io/apimachinery/pkg/api/validate/content"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"weir.dev/weir/internal/foreigntext"
	"weir.dev/weir/internal/imageapi"
	"weir.dev/weir/internal/imageapi/dockerimage"
	"weir.dev/weir/internal/reference"
)

// Image validates a new Image. Its name need not be a digest: anything that fits into one segment
// of a URL path is accepted.
func Image(img *imagev1.Image) field.ErrorList {
	return append(image(img, nil), imageSize(img, nil)...)
}

// ImageUpdate validates an Image that replaces another, besides what PrepareUpdate of package
// dockerimage reverts.
func ImageUpdate(updated, old *imagev1.Image) field.ErrorList {
	errs := apivalidation.ValidateObjectMetaUpdate(&updated.ObjectMeta, &old.ObjectMeta, field.NewPath("metadata"))
	return append(append(errs, image(updated, nil)...), imageSize(updated, old)...)
}

// imageSize rejects an Image that is too large for storage, unless it did not grow. old is nil for
// a new one.
func imageSize(img, old *imagev1.Image) field.ErrorList {
	size := img.Size()
	if size <= imageapi.MaxImageBytes || old != nil && size <= old.Size() {
		return nil
	}
	return field.ErrorList{{
		Type: field.ErrorTypeTooLong, Field: "dockerImageMetadata", BadValue: field.OmitValueType{},
		Detail: fmt.Sprintf("the size of the image, %d bytes, exceeds the maximum limit of %d", size, imageapi.MaxImageBytes),
	}}
}

// image validates an Image at a path of another object; nil for an Image by itself.
func image(img *imagev1.Image, at *field.Path) field.ErrorList {
	errs := apivalidation.ValidateObjectMeta(&img.ObjectMeta, false, pathSegment, at.Child("metadata"))
	errs = append(errs, required(img.DockerImageReference, at.Child("dockerImageReference"), parsePullSpec)...)
	errs = append(errs, metadata(img, at)...)
	for i := range img.Signatures {
		errs = append(errs, signature(&img.Signatures[i], at.Child("signatures").Index(i))...)
	}
	return append(errs, subManifests(img, at)...)
}

// pathSegment is the name rule of objects whose name only has to fit into a URL. It applies to
// generateName like to a name, which is stricter than in Kubernetes.
func pathSegment(name string, _ bool) []string { return content.IsPathSegmentName(name) }

func parsePullSpec(text string) error {
	_, err := reference.Parse(text)
	return err
}

// required returns an error for a field that is empty, or does not satisfy check.
func required(value string, at *field.Path, check func(string) error) field.ErrorList {
	if value == "" {
		return field.ErrorList{field.Required(at, "")}
	}
	if err := check(value); err != nil {
		return field.ErrorList{field.Invalid(at, value, fault(err))}
	}
	return nil
}

// fault returns the text of an error without the value, which field.Error prints.
func fault(err error) string {
	var syntax *reference.SyntaxError
	if errors.As(err, &syntax) {
		return syntax.Fault()
	}
	return err.Error()
}

// metadata repeats the checks of the decoder, which does not run for the results of strategic
// merge patches and server-side apply.
func metadata(img *imagev1.Image, at *field.Path) field.ErrorList {
	var bad *dockerimage.MetadataError
	if err := dockerimage.CanonicalMetadata(img.DeepCopy()); !errors.As(err, &bad) {
		return nil
	}
	if bad.Version {
		return field.ErrorList{field.Invalid(at.Child("dockerImageMetadataVersion"), img.DockerImageMetadataVersion, bad.Err.Error())}
	}
	return field.ErrorList{field.Invalid(at.Child("dockerImageMetadata"), foreigntext.Truncate(string(img.DockerImageMetadata.Raw), maxShown), bad.Err.Error())}
}

// maxShown is the number of bytes of a value that an error shows.
const maxShown = 100

// The grammars of sub-manifests: digests of any algorithm, and the media types of RFC 6838,
// section 4.2.
var (
	digestGrammar    = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9]*([-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,}$`)
	mediaTypeGrammar = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}/[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}$`)
)

// subManifests validates what a manifest list points to. An Image is either a list or has layers.
func subManifests(img *imagev1.Image, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	for i, m := range img.DockerImageManifests {
		entry := at.Child("dockerImageManifests").Index(i)
		if !digestGrammar.MatchString(m.Digest) {
			errs = append(errs, field.Invalid(entry.Child("digest"), m.Digest, "must be algorithm:hex with at least 32 hexadecimal characters"))
		}
		if !mediaTypeGrammar.MatchString(m.MediaType) {
			errs = append(errs, field.Invalid(entry.Child("mediaType"), m.MediaType, "must be a media type of the form type/subtype"))
		}
		if m.Architecture == "" {
			errs = append(errs, field.Required(entry.Child("architecture"), ""))
		}
		if m.OS == "" {
			errs = append(errs, field.Required(entry.Child("os"), ""))
		}
		if m.ManifestSize < 0 {
			errs = append(errs, field.Invalid(entry.Child("size"), m.ManifestSize, "must not be negative"))
		}
	}
	if len(img.DockerImageManifests) > 0 && len(img.DockerImageLayers) > 0 {
		errs = append(errs, field.Invalid(at.Child("dockerImageLayers"), img.DockerImageLayers[0].Name, "must be empty: an image with dockerImageManifests has no layers"))
	}
	return errs
}

// ImageStreamMapping validates a mapping. The caller must have set image.dockerImageReference if
// possible. tag may be any text: it is only written to status.
func ImageStreamMapping(m *imagev1.ImageStreamMapping) field.ErrorList {
	errs := apivalidation.ValidateObjectMeta(&m.ObjectMeta, true, pathSegment, field.NewPath("metadata"))
	if m.Name == "" {
		// Two more ways of naming the stream existed before v1; clients know the answer so.
		errs = append(errs, field.Required(field.NewPath("name"), ""), field.Required(field.NewPath("dockerImageRepository"), ""))
	}
	if m.Tag == "" {
		errs = append(errs, field.Required(field.NewPath("tag"), ""))
	}
	if _, err := imageapi.MappingTags(m); err != nil {
		at := field.NewPath("metadata", "annotations").Key(imageapi.AnnotationFurtherTags)
		errs = append(errs, field.Invalid(at, m.Annotations[imageapi.AnnotationFurtherTags], err.Error()))
	}
	return append(errs, image(&m.Image, field.NewPath("image"))...)
}
