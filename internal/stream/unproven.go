package stream

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"

	imagev1 "github.com/openshift/api/image/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// AnnotationUnproven on a stream: the images of its history that a client named without
// showing their content, in a mapping or a status. A digest alone opens nothing, so the readers
// of the stream do not see the metadata of an Image that others pushed or imported. A push or an
// import of the image, a copy from a stream that has proven it, and a mapping with its text
// prove it.
//
// The value lists the first eight hexadecimal digits of the SHA-256 of each image's name, sorted
// and separated by spaces: short enough that a stream of the largest size has room for all. Two
// images with the same digits are proven only one without the other. The API server writes it;
// what clients send is ignored.
const AnnotationUnproven = "weir.dev/unproven-images"

const unprovenDigits = 8

// Unproven reports whether an image of the history of s is one that AnnotationUnproven lists.
func Unproven(s *imagev1.ImageStream, image string) bool {
	text := s.Annotations[AnnotationUnproven]
	return text != "" && strings.Contains(text, unprovenKey(image))
}

// ProvenIn reports whether the history of s has an image and its content was shown.
func ProvenIn(s *imagev1.ImageStream, image string) bool {
	return hasImage(s, image) && !Unproven(s, image)
}

// MarkUnproven lists an image as unproven. It is called before the event of the image is added:
// an image that the history has, and proven, stays so.
func MarkUnproven(s *imagev1.ImageStream, image string) {
	if image == "" || ProvenIn(s, image) || Unproven(s, image) {
		return
	}
	keys := append(unprovenKeys(s), unprovenKey(image))
	slices.Sort(keys)
	setUnproven(s, keys)
}

// MarkProven removes an image from the list and reports whether it was there.
func MarkProven(s *imagev1.ImageStream, image string) bool {
	key := unprovenKey(image)
	if !Unproven(s, image) || slices.ContainsFunc(Images(s), func(other string) bool { return other != image && unprovenKey(other) == key }) {
		return false
	}
	setUnproven(s, slices.DeleteFunc(unprovenKeys(s), func(k string) bool { return k == key }))
	return true
}

// inheritProof marks an image as it is marked in the stream that it is copied from. It is called
// before the event is added.
func inheritProof(s, from *imagev1.ImageStream, image string) {
	if ProvenIn(from, image) {
		MarkProven(s, image)
	} else {
		MarkUnproven(s, image)
	}
}

// MarkNew lists the images as unproven that the history of s has and that of old has not.
func MarkNew(s, old *imagev1.ImageStream) {
	known := map[string]bool{}
	for _, image := range Images(old) {
		known[image] = true
	}
	keys := unprovenKeys(s)
	for _, image := range Images(s) {
		if !known[image] && !Unproven(s, image) {
			keys = append(keys, unprovenKey(image))
		}
	}
	slices.Sort(keys)
	setUnproven(s, slices.Compact(keys))
}

// KeepUnproven sets the list of s to that of old, whatever its writer sent.
func KeepUnproven(s, old *imagev1.ImageStream) { setUnproven(s, unprovenKeys(old)) }

// PruneUnproven drops what the history of s no longer has.
func PruneUnproven(s *imagev1.ImageStream) {
	if s.Annotations[AnnotationUnproven] == "" {
		delete(s.Annotations, AnnotationUnproven)
		return
	}
	there := map[string]bool{}
	for _, image := range Images(s) {
		there[unprovenKey(image)] = true
	}
	setUnproven(s, slices.DeleteFunc(unprovenKeys(s), func(k string) bool { return !there[k] }))
}

func hasImage(s *imagev1.ImageStream, image string) bool {
	for i := range s.Status.Tags {
		for j := range s.Status.Tags[i].Items {
			if s.Status.Tags[i].Items[j].Image == image {
				return true
			}
		}
	}
	return false
}

func unprovenKeys(s *imagev1.ImageStream) []string {
	return strings.Fields(s.Annotations[AnnotationUnproven])
}

func unprovenKey(image string) string {
	sum := sha256.Sum256([]byte(image))
	return hex.EncodeToString(sum[:])[:unprovenDigits]
}

func setUnproven(s *imagev1.ImageStream, keys []string) {
	if len(keys) == 0 {
		delete(s.Annotations, AnnotationUnproven)
		return
	}
	metav1.SetMetaDataAnnotation(&s.ObjectMeta, AnnotationUnproven, strings.Join(keys, " "))
}
