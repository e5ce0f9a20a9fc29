package table

import (
	"fmt"
	"strings"
	"time"

	imagev1 "github.com/openshift/api/image/v1"
	corev1 "k8s.io/api/core/v1"

	"weir.dev/weir/internal/imageapi"
	"weir.dev/weir/internal/reference"
)

func head(t *imagev1.ImageTag) *imagev1.TagEvent {
	if t.Status == nil || len(t.Status.Items) == 0 {
		return nil
	}
	return &t.Status.Items[0]
}

// specGeneration returns the generation of the spec, 0 without one.
func specGeneration(t *imagev1.ImageTag) int64 {
	if t.Spec == nil || t.Spec.Generation == nil {
		return 0
	}
	return *t.Spec.Generation
}

// specWord returns one word for how the tag gets images.
func specWord(t *imagev1.ImageTag) string {
	event := head(t)
	if t.Spec == nil {
		if event != nil {
			return "Push"
		}
		return ""
	}
	word := fromWord(t.Spec)
	// A head newer than the spec is from a push to the tag. Tags that follow another one
	// always get their heads that way.
	generation := specGeneration(t)
	if word != "Track" && event != nil && generation > 0 && event.Generation > generation {
		return "Push"
	}
	return word
}

func fromWord(spec *imagev1.TagReference) string {
	switch {
	case spec.From == nil:
		return ""
	case spec.From.Kind == imageapi.KindImageStreamTag && !strings.Contains(spec.From.Name, ":"):
		return "Track"
	case spec.ImportPolicy.Scheduled:
		return "Scheduled"
	case spec.Reference:
		return "Ref"
	}
	return "Tag"
}

// statusText returns the state of the tag, the most urgent first: an invalid spec, a failed
// import with the image served meanwhile, a pending import, the image, the source of a future image.
func statusText(t *imagev1.ImageTag) string {
	source, invalid := sourceText(t.Spec)
	if invalid != "" {
		return invalid
	}
	if reason, failed := importFailure(t.Status); failed {
		return strings.TrimSuffix(fmt.Sprintf("ImportFailed (%s), %s", reason, headText(t)), ", ")
	}
	event := head(t)
	switch {
	case event == nil:
		return source
	case event.Generation < specGeneration(t):
		return "Importing"
	}
	return headText(t)
}

// headText returns the image that the tag serves, "" for none.
func headText(t *imagev1.ImageTag) string {
	event := head(t)
	switch {
	case event == nil:
		return ""
	case event.Image != "":
		return "image/" + event.Image
	}
	return event.DockerImageReference
}

func importFailure(status *imagev1.NamedTagEventList) (reason string, failed bool) {
	if status == nil {
		return "", false
	}
	for _, c := range status.Conditions {
		if c.Type == imagev1.ImportSuccess && c.Status == corev1.ConditionFalse {
			return c.Reason, true
		}
	}
	return "", false
}

// sourceText returns the source of a spec tag, or the error about it.
func sourceText(spec *imagev1.TagReference) (source, invalid string) {
	const badName, badKind = "InvalidRefName", "InvalidRefKind"
	if spec == nil || spec.From == nil {
		return "", ""
	}
	from := spec.From
	switch from.Kind {
	case imageapi.KindDockerImage:
		if _, err := reference.Parse(from.Name); err != nil {
			return "", badName
		}
		return from.Name, ""
	case imageapi.KindImageStreamImage:
		_, id, err := reference.ParseImageFrom(from.Name)
		if err != nil {
			return "", badName
		}
		return "image/" + id, ""
	case imageapi.KindImageStreamTag:
		if _, _, err := reference.ParseTagFrom(from.Name); err != nil {
			return "", badName
		}
		if from.Namespace != "" {
			return fmt.Sprintf("istag %s/%s", from.Namespace, from.Name), ""
		}
		return "istag/" + from.Name, ""
	}
	return "", badKind
}

// historyCount returns nil for a tag without history, so that the cell stays empty.
func historyCount(t *imagev1.ImageTag) any {
	if t.Status == nil || len(t.Status.Items) == 0 {
		return nil
	}
	return int64(len(t.Status.Items))
}

// lastChange returns when the tag last got an image or a condition.
func lastChange(t *imagev1.ImageTag) time.Time {
	if t.Status == nil {
		return time.Time{}
	}
	last := headTime(t.Status)
	for _, c := range t.Status.Conditions {
		if c.LastTransitionTime.After(last) {
			last = c.LastTransitionTime.Time
		}
	}
	return last
}
