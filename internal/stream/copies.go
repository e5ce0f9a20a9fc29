package stream

import (
	"cmp"
	"encoding/json"
	"maps"
	"slices"
	"strings"

	imagev1 "github.com/openshift/api/image/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"weir.dev/weir/internal/reference"
)

// AnnotationCopiedFrom on a stream: the streams that images of its history were copied
// from, as a JSON list of CopySource. The API server writes it; what clients send is
// ignored.
//
// The reference of a copied tag event names the repository of the stream that has the
// copy, as the contract requires, so the event itself does not show where the content is.
const AnnotationCopiedFrom = "weir.dev/copied-from"

const (
	// maxCopies bounds the images that AnnotationCopiedFrom lists, and maxCopiedFrom its
	// bytes. Kubernetes takes no write of an object with more than 256 KiB of annotations.
	maxCopies     = 2000
	maxCopiedFrom = 160 << 10
	// maxFurther bounds the streams that one image is recorded for beside the one it was
	// copied from. A writer of that one could make any number of them.
	maxFurther = 7
)

// CopySource is a stream that images were copied from by a writer with the right to pull
// from it.
type CopySource struct {
	Repository string    `json:"repository"`    // namespace/name
	UID        types.UID `json:"uid,omitempty"` // of that stream; "" if it was not recorded with the copy
	Images     []string  `json:"images"`        // digests, sorted
}

// CopySources are the streams that images of the history of s were copied from. A stream
// that was last written before copies were recorded has no annotation: its spec tags show
// where the images of their history came from.
func CopySources(s *imagev1.ImageStream) []CopySource {
	text, recorded := s.Annotations[AnnotationCopiedFrom]
	if !recorded {
		return copiesOfSpec(s)
	}
	var sources []CopySource
	if json.Unmarshal([]byte(text), &sources) != nil {
		return nil
	}
	return sources
}

// copiesOfSpec are the streams that spec tags with a history name. An image of that history
// that was not copied from there does no harm: the writer had the right to pull all of the
// source, and the source lends only content that it has.
func copiesOfSpec(s *imagev1.ImageStream) []CopySource {
	copies := copySet{}
	for i := range s.Spec.Tags {
		from, ok := sourceOf(s, s.Spec.Tags[i].From)
		tag := StatusTag(s, s.Spec.Tags[i].Name)
		if !ok || from.isIn(s) || tag == nil {
			continue
		}
		for j := range tag.Items {
			if image := tag.Items[j].Image; image != "" {
				copies.add(from.Namespace+"/"+from.Stream, "", image)
			}
		}
	}
	return copies.sources()
}

// Copied is an image that is copied from another stream, which is only read.
type Copied struct {
	Image string
	From  *imagev1.ImageStream
}

// RecordCopies notes that s has images from other streams, and from those that these have
// them from: each may be gone first.
func RecordCopies(s *imagev1.ImageStream, copied ...Copied) {
	if len(copied) == 0 {
		return
	}
	copies := copySet{}
	for _, source := range CopySources(s) {
		copies.add(source.Repository, source.UID, source.Images...)
	}
	further := map[*imagev1.ImageStream]map[string][]CopySource{}
	for _, c := range copied {
		copies.add(c.From.Namespace+"/"+c.From.Name, c.From.UID, c.Image)
		of, found := further[c.From]
		if !found {
			of = sourcesByImage(CopySources(c.From))
			further[c.From] = of
		}
		for _, source := range of[c.Image][:min(len(of[c.Image]), maxFurther)] {
			copies.add(source.Repository, source.UID, c.Image)
		}
	}
	SetCopySources(s, copies.sources())
}

// sourcesByImage are the sources that list each image.
func sourcesByImage(sources []CopySource) map[string][]CopySource {
	of := map[string][]CopySource{}
	for _, source := range sources {
		for _, image := range source.Images {
			of[image] = append(of[image], source)
		}
	}
	return of
}

// PruneCopySources drops the copies that the history of s does not lead to, those of the
// stream itself, and what there is no room for: heads of tags stay before other images, and
// newer ones before older.
func PruneCopySources(s *imagev1.ImageStream) {
	of := sourcesByImage(CopySources(s))
	copies, kept, size := copySet{}, 0, len(`[]`)
	for _, image := range imagesByRank(s) {
		sources := slices.DeleteFunc(of[image], func(c CopySource) bool { return c.Repository == s.Namespace+"/"+s.Name })
		cost := copies.cost(sources, image)
		if len(sources) == 0 || kept == maxCopies || size+cost > maxCopiedFrom {
			continue
		}
		kept, size = kept+1, size+cost
		for _, source := range sources {
			copies.add(source.Repository, source.UID, image)
		}
	}
	SetCopySources(s, copies.sources())
}

// imagesByRank are the images of the history of s: heads first, then those of newer events.
func imagesByRank(s *imagev1.ImageStream) []string {
	type ranked struct {
		*imagev1.TagEvent
		head bool
	}
	var events []ranked
	for i := range s.Status.Tags {
		for j := range s.Status.Tags[i].Items {
			events = append(events, ranked{&s.Status.Tags[i].Items[j], j == 0})
		}
	}
	slices.SortStableFunc(events, func(a, b ranked) int {
		if a.head != b.head {
			return cmp.Compare(rankOf(a.head), rankOf(b.head))
		}
		return b.Created.Compare(a.Created.Time)
	})
	images, seen := make([]string, 0, len(events)), make(map[string]struct{}, len(events))
	for _, e := range events {
		if _, found := seen[e.Image]; !found {
			seen[e.Image] = struct{}{}
			images = append(images, e.Image)
		}
	}
	return images
}

func rankOf(head bool) int {
	if head {
		return 0
	}
	return 1
}

// copySet is a list of CopySource that is being made: images by source.
type copySet map[copyKey]map[string]struct{}

type copyKey struct {
	repository string
	uid        types.UID
}

func (c copySet) add(repository string, uid types.UID, images ...string) {
	key := copyKey{repository, uid}
	if c[key] == nil {
		c[key] = map[string]struct{}{}
	}
	for _, image := range images {
		c[key][image] = struct{}{}
	}
}

// cost is by how many bytes the annotation grows with an image of some sources.
func (c copySet) cost(sources []CopySource, image string) int {
	size := 0
	for _, source := range sources {
		size += len(image) + len(`"",`)
		if c[copyKey{source.Repository, source.UID}] == nil {
			size += len(source.Repository) + len(source.UID) + len(`{"repository":"","uid":"","images":[]},`)
		}
	}
	return size
}

// sources are those of the set, sorted, nil for none.
func (c copySet) sources() []CopySource {
	var sources []CopySource
	for key, images := range c {
		sources = append(sources, CopySource{Repository: key.repository, UID: key.uid, Images: slices.Sorted(maps.Keys(images))})
	}
	slices.SortFunc(sources, func(a, b CopySource) int {
		return cmp.Or(strings.Compare(a.Repository, b.Repository), strings.Compare(string(a.UID), string(b.UID)))
	})
	return sources
}

// SetCopySources writes the annotation. It is left out only if that means the same, and
// goes on to do so when tags of s get other heads.
func SetCopySources(s *imagev1.ImageStream, sources []CopySource) {
	delete(s.Annotations, AnnotationCopiedFrom)
	if len(sources) == 0 && !namesStreams(s) {
		return
	}
	if sources == nil {
		sources = []CopySource{}
	}
	text, err := json.Marshal(sources)
	if err != nil {
		panic(err) // lists of strings
	}
	metav1.SetMetaDataAnnotation(&s.ObjectMeta, AnnotationCopiedFrom, string(text))
}

// CompleteCopySources writes the annotation of a stream whose spec tags named no other
// stream when it was last written, and now do: nothing was copied yet.
func CompleteCopySources(s *imagev1.ImageStream) {
	if _, recorded := s.Annotations[AnnotationCopiedFrom]; !recorded {
		SetCopySources(s, nil)
	}
}

// namesStreams reports whether a spec tag names another stream.
func namesStreams(s *imagev1.ImageStream) bool {
	return slices.ContainsFunc(s.Spec.Tags, func(t imagev1.TagReference) bool {
		from, ok := sourceOf(s, t.From)
		return ok && !from.isIn(s)
	})
}

// CopySourceOf reports whether a pull spec names the repository of another stream in a
// registry of those names, and which.
func CopySourceOf(s *imagev1.ImageStream, pullSpec string, hosts Registries) (source types.NamespacedName, ok bool) {
	source, ok = repositoryOf(pullSpec, hosts)
	return source, ok && (source.Namespace != s.Namespace || source.Name != s.Name)
}

// IsOwnRepository reports whether a pull spec names the repository of the stream in a
// registry of those names.
func IsOwnRepository(s *imagev1.ImageStream, pullSpec string, hosts Registries) bool {
	source, ok := repositoryOf(pullSpec, hosts)
	return ok && source.Namespace == s.Namespace && source.Name == s.Name
}

// repositoryOf is the stream whose repository a pull spec names in a registry of those
// names.
func repositoryOf(pullSpec string, hosts Registries) (source types.NamespacedName, ok bool) {
	spec, err := reference.Parse(pullSpec)
	if err != nil || !hosts.Has(spec.Registry) {
		return source, false
	}
	repo, err := reference.ParseRepository(spec.Namespace + "/" + spec.Name)
	if err != nil {
		return source, false
	}
	return types.NamespacedName{Namespace: repo.Namespace, Name: repo.Stream}, true
}
