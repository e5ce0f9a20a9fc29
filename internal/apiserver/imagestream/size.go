package imagestream

import (
	imagev1 "github.com/openshift/api/image/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"weir.dev/weir/internal/stream"
)

// size refuses a stream that is too large, as Kubernetes refuses a ConfigMap that is.
func size(is, old *imagev1.ImageStream) field.ErrorList {
	tooLarge := stream.CheckSize(is, old)
	if tooLarge == nil {
		return nil
	}
	return field.ErrorList{{
		Type: field.ErrorTypeTooLong, Field: "status.tags", BadValue: field.OmitValueType{}, Detail: tooLarge.Error(),
	}}
}

// historyLimit validates the annotation of that name where it is new.
func historyLimit(is, old *imagev1.ImageStream) field.ErrorList {
	text, found := is.Annotations[stream.AnnotationHistoryLimit]
	if old != nil {
		if before, had := old.Annotations[stream.AnnotationHistoryLimit]; had && found && before == text {
			return nil
		}
	}
	if _, err := stream.HistoryLimitOf(is); err != nil {
		at := field.NewPath("metadata", "annotations").Key(stream.AnnotationHistoryLimit)
		return field.ErrorList{field.Invalid(at, text, err.Error())}
	}
	return nil
}
