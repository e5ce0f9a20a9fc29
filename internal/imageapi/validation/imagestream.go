package validation

import (
	"errors"
	"fmt"
	"regexp"

	imagev1 "github.com/openshift/api/image/v1"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"weir.dev/weir/internal/imageapi"
	"weir.dev/weir/internal/reference"
)

// maxRepositoryName bounds namespace/name, the name of the stream's repository in the integrated
// registry.
const maxRepositoryName = 255

var streamName = regexp.MustCompile(`^[0-9a-z]+([-._][0-9a-z]+)*$`)

// imageStreamName is the name rule of streams: lower-case letters and digits, joined by single
// ".", "_" or "-". It is stricter than what registries take as a repository. prefix is ignored:
// a generateName must be a name.
func imageStreamName(name string, prefix bool) []string {
	if reasons := pathSegment(name, prefix); len(reasons) > 0 {
		return reasons
	}
	if !streamName.MatchString(name) {
		return []string{"must be lower-case letters and digits, joined by single '.', '_' or '-'"}
	}
	return nil
}

// ImageStream validates a new stream.
func ImageStream(s *imagev1.ImageStream, allower RegistryAllower) field.ErrorList {
	return imageStream(s, nil, allower)
}

// ImageStreamUpdate validates a stream that replaces another. Tag names and repositories that
// old has need not pass today's rules.
func ImageStreamUpdate(updated, old *imagev1.ImageStream, allower RegistryAllower) field.ErrorList {
	errs := apivalidation.ValidateObjectMetaUpdate(&updated.ObjectMeta, &old.ObjectMeta, field.NewPath("metadata"))
	return append(errs, imageStream(updated, old, exemptStream(allower, old))...)
}

// ImageStreamStatusUpdate validates a write through imagestreams/status: only references that the
// stored status does not have.
func ImageStreamStatusUpdate(updated, old *imagev1.ImageStream, allower RegistryAllower) field.ErrorList {
	errs := apivalidation.ValidateObjectMetaUpdate(&updated.ObjectMeta, &old.ObjectMeta, field.NewPath("metadata"))
	known := map[string]bool{}
	for _, tag := range old.Status.Tags {
		for _, item := range tag.Items {
			known[item.DockerImageReference] = true
		}
	}
	return append(errs, statusTags(updated, exemptStream(allower, old), func(ref string) bool { return known[ref] })...)
}

// exemptStream allows every repository that a stream refers to already.
func exemptStream(allower RegistryAllower, old *imagev1.ImageStream) RegistryAllower {
	known := exempting{allower, map[string]struct{}{}}
	known.add(old.Spec.DockerImageRepository)
	for _, tag := range old.Spec.Tags {
		if tag.From != nil && tag.From.Kind == imageapi.KindDockerImage {
			known.add(tag.From.Name)
		}
	}
	for _, tag := range old.Status.Tags {
		for _, item := range tag.Items {
			known.add(item.DockerImageReference)
		}
	}
	return known
}

func imageStream(s, old *imagev1.ImageStream, allower RegistryAllower) field.ErrorList {
	errs := streamMeta(&s.ObjectMeta)
	errs = append(errs, streamRepository(s, allower)...)
	existing := map[string]bool{}
	if old != nil {
		for _, tag := range old.Spec.Tags {
			existing[tag.Name] = true
		}
	}
	for i := range s.Spec.Tags {
		tag := &s.Spec.Tags[i]
		at := field.NewPath("spec", "tags").Key(tag.Name)
		if !existing[tag.Name] {
			errs = append(errs, tagName(tag.Name, at)...)
		}
		errs = append(errs, specTag(tag, at, allower, transportOf(s.Annotations, tag))...)
	}
	return append(errs, statusTags(s, allower, func(string) bool { return false })...)
}

// streamMeta validates the metadata of a stream, or of an object that creates one.
func streamMeta(m *metav1.ObjectMeta) field.ErrorList {
	errs := apivalidation.ValidateObjectMeta(m, true, imageStreamName, field.NewPath("metadata"))
	if repository := m.Namespace + "/" + m.Name; len(repository) > maxRepositoryName {
		errs = append(errs, field.Invalid(field.NewPath("metadata", "name"), m.Name,
			fmt.Sprintf("namespace/name has %d characters, at most %d are possible", len(repository), maxRepositoryName)))
	}
	return errs
}

func streamRepository(s *imagev1.ImageStream, allower RegistryAllower) field.ErrorList {
	repository := s.Spec.DockerImageRepository
	if repository == "" {
		return nil
	}
	at := field.NewPath("spec", "dockerImageRepository")
	if err := parseRepository(repository); err != nil {
		return field.ErrorList{field.Invalid(at, repository, fault(err))}
	}
	return allowedPullSpec(repository, at, allower, transportOf(s.Annotations, nil))
}

var errNotARepository = errors.New("not a repository: it must not have a tag or digest")

// parseRepository checks that text is a pull spec without tag and digest.
func parseRepository(text string) error {
	spec, err := reference.Parse(text)
	if err != nil {
		return err
	}
	if spec.Tag != "" || spec.ID != "" {
		return errNotARepository
	}
	return nil
}

// statusTags validates the references in the history of all tags but those to skip.
func statusTags(s *imagev1.ImageStream, allower RegistryAllower, skip func(ref string) bool) field.ErrorList {
	var errs field.ErrorList
	specTags := make(map[string]*imagev1.TagReference, len(s.Spec.Tags))
	for i := range s.Spec.Tags {
		specTags[s.Spec.Tags[i].Name] = &s.Spec.Tags[i]
	}
	for _, tag := range s.Status.Tags {
		transport := transportOf(s.Annotations, specTags[tag.Tag])
		for i, item := range tag.Items {
			if skip(item.DockerImageReference) {
				continue
			}
			at := field.NewPath("status", "tags").Key(tag.Tag).Child("items").Index(i).Child("dockerImageReference")
			if item.DockerImageReference == "" {
				errs = append(errs, field.Invalid(at, "", "must not be empty"))
				continue
			}
			errs = append(errs, allowedPullSpec(item.DockerImageReference, at, allower, transport)...)
		}
	}
	return errs
}

// transportOf returns how a tag may be imported: insecurely if the tag or the stream is marked as
// insecure. annotations are those of the stream, or of the object that contains the tag.
func transportOf(annotations map[string]string, tag *imagev1.TagReference) Transport {
	if annotations[imageapi.AnnotationInsecureRepository] == "true" || (tag != nil && tag.ImportPolicy.Insecure) {
		return TransportAny
	}
	return TransportSecure
}
