package stream

import (
	"time"

	imagev1 "github.com/openshift/api/image/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"weir.dev/weir/internal/reference"
)

// ImportOutcome is the result of an import for the stream.
type ImportOutcome struct {
	Now  metav1.Time // time of the request
	Tags []TagImport // in the order of effect: of two for one tag the later one wins
}

// TagImport is the outcome of an import for one tag of the stream.
type TagImport struct {
	Tag             string // of the stream, not of the source
	From            string // pull spec that was asked for
	ImportPolicy    imagev1.TagImportPolicy
	ReferencePolicy imagev1.TagReferencePolicy
	// OfRepository is set when the tag came with its whole repository. Such a tag is
	// not added to spec when it fails.
	OfRepository bool

	// Image and Reference say which image was found and where; both are empty on
	// failure, and Status has the reason.
	Image     string
	Reference string
	Status    metav1.Status
}

// OutcomeOf reads the outcome from an ImageStreamImport whose status is filled:
// tags of the repository first, then the images that name a tag to go to.
func OutcomeOf(isi *imagev1.ImageStreamImport, now metav1.Time) ImportOutcome {
	outcome := ImportOutcome{Now: now}
	if spec, status := isi.Spec.Repository, isi.Status.Repository; spec != nil && status != nil {
		for i := range status.Images {
			if status.Images[i].Tag == "" {
				continue
			}
			result := TagImport{
				Tag:             status.Images[i].Tag,
				From:            repositoryTag(spec.From.Name, status.Images[i].Tag),
				ImportPolicy:    spec.ImportPolicy,
				ReferencePolicy: spec.ReferencePolicy,
				OfRepository:    true,
			}
			outcome.add(result, &status.Images[i])
		}
	}
	for i := range min(len(isi.Spec.Images), len(isi.Status.Images)) {
		spec := &isi.Spec.Images[i]
		if spec.To == nil {
			continue
		}
		result := TagImport{
			Tag:             spec.To.Name,
			From:            spec.From.Name,
			ImportPolicy:    spec.ImportPolicy,
			ReferencePolicy: spec.ReferencePolicy,
		}
		outcome.add(result, &isi.Status.Images[i])
	}
	return outcome
}

func (o *ImportOutcome) add(result TagImport, status *imagev1.ImageImportStatus) {
	result.Status = status.Status
	if status.Image != nil && status.Status.Status != metav1.StatusFailure {
		result.Image, result.Reference = status.Image.Name, status.Image.DockerImageReference
	}
	o.Tags = append(o.Tags, result)
}

func repositoryTag(repository, tag string) string {
	spec, err := reference.Parse(repository)
	if err != nil {
		return repository + ":" + tag
	}
	return spec.WithTag(tag).String()
}

// ApplyImport brings a stream to what an import learned and reports whether it has
// to be written; an import that learned nothing new leaves the stream as it is.
//
// The generation of events and conditions is the one the stream will have after the
// write. Spec tags that were touched are reset to generation 0, so that
// PrepareUpdateWithStatus (or PrepareCreateWithStatus for a new stream, whose
// generation is 0 here) gives them that same number.
func ApplyImport(s *imagev1.ImageStream, outcome ImportOutcome) bool {
	outcome.Now = outcome.Now.Rfc3339Copy()
	changed := s.Annotations[imagev1.DockerImageRepositoryCheckAnnotation] == ""
	for i := range outcome.Tags {
		result := &outcome.Tags[i]
		if result.Image != "" {
			changed = applySuccess(s, result, outcome.Now) || changed
		} else {
			changed = applyFailure(s, result, outcome.Now) || changed
		}
	}
	if changed {
		metav1.SetMetaDataAnnotation(&s.ObjectMeta, imagev1.DockerImageRepositoryCheckAnnotation, outcome.Now.UTC().Format(time.RFC3339))
	}
	return changed
}

func applySuccess(s *imagev1.ImageStream, result *TagImport, now metav1.Time) bool {
	next := imagev1.TagEvent{
		Created:              now,
		DockerImageReference: mostSpecific(result.Reference),
		Image:                result.Image,
		Generation:           s.Generation + 1,
	}
	tag := SpecTag(s, result.Tag)
	changed := needsTagging(tag, LatestEvent(s, result.Tag), &next)
	if changed {
		tag = retag(s, result)
		AddEvent(s, result.Tag, next)
	}
	changed = MarkProven(s, result.Image) || changed
	if tag.ImportPolicy != result.ImportPolicy {
		tag.ImportPolicy = result.ImportPolicy
		changed = true
	}
	if status := StatusTag(s, result.Tag); len(status.Conditions) > 0 {
		status.Conditions = nil
		changed = true
	}
	return changed
}

// needsTagging reports whether an imported image is news to a tag: another image or
// place than its head, or the answer to a newer generation of its spec. Generation 0
// is one that an earlier outcome for the same tag has reset; the last one wins.
func needsTagging(tag *imagev1.TagReference, newest, next *imagev1.TagEvent) bool {
	return newest == nil || tag == nil || tag.Generation == nil || *tag.Generation == 0 ||
		!sameImage(newest, next) || *tag.Generation > newest.Generation
}

// retag points the spec tag to where the import came from. What the import does not
// speak of stays: annotations, reference, and a referencePolicy once chosen.
func retag(s *imagev1.ImageStream, result *TagImport) *imagev1.TagReference {
	if SpecTag(s, result.Tag) == nil {
		SetSpecTag(s, imagev1.TagReference{Name: result.Tag})
	}
	tag := SpecTag(s, result.Tag)
	tag.From = &corev1.ObjectReference{Kind: KindDockerImage, Name: result.From}
	tag.Generation = generationOf(0)
	tag.ImportPolicy = result.ImportPolicy
	if tag.ReferencePolicy.Type == "" {
		tag.ReferencePolicy = result.ReferencePolicy
	}
	return tag
}

// applyFailure records a failed import in the tag's conditions; its history stays.
//
// The same failure once more is no news. If spec requested the import again in
// between, though, the condition moves to that generation: it is the answer to it,
// and without one the tag would look as if it were still being imported.
func applyFailure(s *imagev1.ImageStream, result *TagImport, now metav1.Time) bool {
	failure := failureOf(&result.Status, s.Generation+1, now)
	tag := SpecTag(s, result.Tag)
	added := tag == nil && !result.OfRepository
	if added {
		tag = retag(s, result)
	}
	if known := findCondition(StatusTag(s, result.Tag), &failure); known != nil {
		switch {
		case added:
			known.Generation = failure.Generation
			return true
		case tag != nil && tag.Generation != nil && *tag.Generation > known.Generation:
			known.Generation = *tag.Generation
			return true
		}
		return false
	}
	retry := currentRetry(s, result.Tag)
	status := ensureStatusTag(s, result.Tag)
	status.Conditions = []imagev1.TagEventCondition{failure}
	if retry != nil {
		// The failure changed while it was being retried: the spec tag moves to a new
		// number on our account, and the series of attempts goes on.
		retry.Generation = failure.Generation
		status.Conditions = append(status.Conditions, *retry)
	}
	if tag != nil {
		tag.Generation = generationOf(0)
	}
	return true
}

// unknownFailure is the message of a result that has neither an image nor a text.
const unknownFailure = "the import ended without an image, for an unknown reason"

func failureOf(status *metav1.Status, generation int64, now metav1.Time) imagev1.TagEventCondition {
	message := status.Message
	if message == "" {
		message = unknownFailure
	}
	return imagev1.TagEventCondition{
		Type:               imagev1.ImportSuccess,
		Status:             corev1.ConditionFalse,
		LastTransitionTime: now,
		Reason:             string(status.Reason),
		Message:            message,
		Generation:         generation,
	}
}

// findCondition returns the condition that equals wanted but for its time, or nil.
func findCondition(t *imagev1.NamedTagEventList, wanted *imagev1.TagEventCondition) *imagev1.TagEventCondition {
	if t == nil {
		return nil
	}
	for i := range t.Conditions {
		c := &t.Conditions[i]
		if c.Type == wanted.Type && c.Status == wanted.Status && c.Reason == wanted.Reason && c.Message == wanted.Message {
			return c
		}
	}
	return nil
}

func mostSpecific(ref string) string {
	spec, err := reference.Parse(ref)
	if err != nil {
		return ref
	}
	return spec.MostSpecific().String()
}

// RecordRefusal notes on a stored stream that an import was refused as a whole (by a
// limit): the tags that attempted would have brought for the first time get a failed
// condition, and with moved those that it would have moved, too. Nothing else changes. It
// reports whether there were any.
func RecordRefusal(s, attempted *imagev1.ImageStream, refusal metav1.Status, moved bool, now metav1.Time) bool {
	failure := failureOf(&refusal, s.Generation+1, now.Rfc3339Copy())
	var names []string
	for i := range attempted.Status.Tags {
		if name := attempted.Status.Tags[i].Tag; StatusTag(s, name) == nil {
			names = append(names, name)
		}
	}
	if moved {
		names = append(names, changedHeads(attempted, s)...)
	}
	changed := false
	for _, name := range names {
		known := findCondition(StatusTag(s, name), &failure)
		if known != nil && known.Generation >= failure.Generation {
			continue
		}
		conditions := []imagev1.TagEventCondition{failure}
		if retry := currentRetry(s, name); retry != nil {
			retry.Generation = failure.Generation
			conditions = append(conditions, *retry)
		}
		ensureStatusTag(s, name).Conditions = conditions
		changed = true
	}
	return changed
}
