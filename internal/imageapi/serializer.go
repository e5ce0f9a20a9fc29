package imageapi

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"sync"

	imagev1 "github.com/openshift/api/image/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"

	"weir.dev/weir/internal/imageapi/dockerimage"
)

// NewSerializer returns the serializer of the API server: codecs, plus two rules about
// Image.dockerImageMetadata that a Go type cannot express. Decoded objects have neither kind nor
// apiVersion, see ClearKind.
//
//   - Reading: metadata of a foreign kind or version is a decoding error (the server answers
//     400, or 422 on "patch" for JSON and merge patches), unknown keys in it are dropped, the
//     rest is put into canonical form.
//   - Writing: an image without metadata gets the minimal document. The encoder does not modify
//     the object, which may be shared with the watch cache.
//
// Strategic merge patches and server-side apply build their result without a decoder. Their
// images are checked by validation.Image, which answers 422 on dockerImageMetadata.
//
// Storage uses the plain codecs: stored objects have passed through this serializer.
func NewSerializer(codecs serializer.CodecFactory) runtime.NegotiatedSerializer {
	return metadataSerializer{codecs}
}

type metadataSerializer struct{ runtime.NegotiatedSerializer }

func (s metadataSerializer) DecoderToVersion(d runtime.Decoder, gv runtime.GroupVersioner) runtime.Decoder {
	return metadataDecoder{s.NegotiatedSerializer.DecoderToVersion(d, gv)}
}

func (s metadataSerializer) EncoderForVersion(e runtime.Encoder, gv runtime.GroupVersioner) runtime.Encoder {
	return metadataEncoder{s.NegotiatedSerializer.EncoderForVersion(e, gv)}
}

type metadataDecoder struct{ inner runtime.Decoder }

// Decode implements runtime.Decoder. With a strict decoding error it also returns an object, which
// callers that only warn use, so it checks that object as well.
func (d metadataDecoder) Decode(data []byte, defaults *schema.GroupVersionKind, into runtime.Object) (runtime.Object, *schema.GroupVersionKind, error) {
	obj, gvk, err := d.inner.Decode(data, defaults, into)
	if runtime.IsNotRegisteredError(err) && gvk != nil && gvk.Group == "" {
		return obj, gvk, &legacyVersionError{err}
	}
	if obj == nil || (err != nil && !runtime.IsStrictDecodingError(err)) {
		return obj, gvk, err
	}
	ClearKind(obj)
	if invalid := canonicalize(obj); invalid != nil {
		return nil, gvk, invalid
	}
	return obj, gvk, err
}

// ClearKind removes kind and apiVersion from a decoded object of the group. Inside the server an
// object has neither, so that sent, patched and stored objects with the same content are equal.
//
// Decoders leave both in place here, because the internal version of the group has the Go types
// of v1 and nothing is converted. Encoders write those of the version they encode to.
func ClearKind(obj runtime.Object) {
	if _, ok := obj.(metav1.ObjectMetaAccessor); ok {
		obj.GetObjectKind().SetGroupVersionKind(schema.GroupVersionKind{})
	}
}

// legacyVersionError is the error for an object whose apiVersion has no group. Templates from
// before the group are still in use, so the error names the version to use.
type legacyVersionError struct{ error }

func (e *legacyVersionError) Error() string {
	return fmt.Sprintf("%v; use apiVersion: %s", e.error, imagev1.GroupVersion)
}

func (e *legacyVersionError) Unwrap() error { return e.error }

func canonicalize(obj runtime.Object) error {
	var first error
	forEachImage(obj, func(img *imagev1.Image) {
		if err := dockerimage.CanonicalMetadata(img); err != nil && first == nil {
			first = err
		}
	})
	return first
}

// metadataEncoder keeps the identifier of the wrapped encoder: for equal objects both write equal
// bytes, except for objects that are never in the watch cache.
type metadataEncoder struct{ runtime.Encoder }

// Encode implements runtime.Encoder.
func (e metadataEncoder) Encode(obj runtime.Object, w io.Writer) error {
	return buffered(obj, w, func(w io.Writer) error { return e.Encoder.Encode(WithMetadata(obj), w) })
}

// EncodeWithAllocator implements runtime.EncoderWithAllocator, which the server prefers for large
// responses and watches.
func (e metadataEncoder) EncodeWithAllocator(obj runtime.Object, w io.Writer, memory runtime.MemoryAllocator) error {
	inner, ok := e.Encoder.(runtime.EncoderWithAllocator)
	if !ok {
		return e.Encode(obj, w)
	}
	return buffered(obj, w, func(w io.Writer) error { return inner.EncodeWithAllocator(WithMetadata(obj), w, memory) })
}

// listBuffer is the size of the write buffer for lists, in bytes.
const listBuffer = 256 << 10

var listBuffers = sync.Pool{New: func() any { return bufio.NewWriterSize(nil, listBuffer) }}

// buffered encodes a list in large writes. The codecs write each item separately, and a small write
// to an HTTP/2 response costs a frame and two goroutine switches, which doubles the time for a list
// of 50,000 Images.
func buffered(obj runtime.Object, w io.Writer, encode func(io.Writer) error) error {
	if !meta.IsListType(obj) {
		return encode(w)
	}
	buffer := listBuffers.Get().(*bufio.Writer)
	defer listBuffers.Put(buffer)
	buffer.Reset(w)
	defer buffer.Reset(nil)
	if err := encode(buffer); err != nil {
		return errors.Join(err, buffer.Flush())
	}
	return buffer.Flush()
}

// WithMetadata returns obj with dockerImageMetadata in all of its images: obj itself if they have
// it, otherwise a completed copy.
func WithMetadata(obj runtime.Object) runtime.Object {
	missing := false
	forEachImage(obj, func(img *imagev1.Image) { missing = missing || dockerimage.LacksMetadata(img) })
	if !missing {
		return obj
	}
	full := obj.DeepCopyObject()
	forEachImage(full, dockerimage.FillEmptyMetadata)
	return full
}
