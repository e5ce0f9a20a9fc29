package apiserver

import (
	"strings"
	"testing"
	"unsafe"

	imagev1 "github.com/openshift/api/image/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"weir.dev/weir/internal/stream"
)

// decoder makes a stream of its own of each object, as the codec of a store does.
type decoder struct{ runtime.Codec }

func (decoder) Decode([]byte, *schema.GroupVersionKind, runtime.Object) (runtime.Object, *schema.GroupVersionKind, error) {
	event := imagev1.TagEvent{DockerImageReference: strings.Clone("q.io/x@sha256:1"), Image: strings.Clone("sha256:1")}
	return &imagev1.ImageStream{Status: imagev1.ImageStreamStatus{Tags: []imagev1.NamedTagEventList{{Tag: "a", Items: []imagev1.TagEvent{event}}}}}, nil, nil
}

// TestWatchedVersionsShareTheirEvents: the watch cache keeps a hundred versions of a stream and more.
func TestWatchedVersionsShareTheirEvents(t *testing.T) {
	codec := completingCodec{decoder{}, stream.Registries{}}
	watched := func(into runtime.Object) *byte {
		obj, _, err := codec.Decode(nil, nil, into)
		if err != nil {
			t.Fatal(err)
		}
		return unsafe.StringData(obj.(*imagev1.ImageStream).Status.Tags[0].Items[0].DockerImageReference)
	}
	if first := watched(nil); watched(nil) != first {
		t.Error("two versions have the text of an event twice")
	}
	into := &imagev1.ImageStream{}
	once, again := watched(into), watched(into)
	if once == again {
		t.Error("what is read for one request is shared, which takes time and saves nothing")
	}
}
