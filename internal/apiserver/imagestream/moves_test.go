package imagestream

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	imagev1 "github.com/openshift/api/image/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	apirequest "k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/apiserver/pkg/registry/generic"
	"k8s.io/apiserver/pkg/registry/rest"
	"k8s.io/apiserver/pkg/storage"
	"k8s.io/apiserver/pkg/storage/storagebackend"
	"k8s.io/apiserver/pkg/storage/storagebackend/factory"
	"k8s.io/client-go/tools/cache"

	"weir.dev/weir/internal/imageapi"
	"weir.dev/weir/internal/stream"
)

// attempts is a storage of one stream. An update begins with each of the versions before it in turn,
// as if other writers had been faster, and ends with an error, if there is one.
type attempts struct {
	storage.Interface
	versions []*imagev1.ImageStream
	failure  error
}

func (s *attempts) Versioner() storage.Versioner { return storage.APIObjectVersioner{} }

func (s *attempts) Get(_ context.Context, _ string, _ storage.GetOptions, into runtime.Object) error {
	*into.(*imagev1.ImageStream) = *s.versions[0].DeepCopy()
	return nil
}

func (s *attempts) GuaranteedUpdate(_ context.Context, _ string, into runtime.Object, _ bool, _ *storage.Preconditions, update storage.UpdateFunc, _ runtime.Object) error {
	var updated runtime.Object
	for _, version := range s.versions {
		var err error
		if updated, _, err = update(version.DeepCopy(), storage.ResponseMeta{ResourceVersion: 7}); err != nil {
			return err
		}
	}
	if s.failure != nil {
		return s.failure
	}
	written := into.(*imagev1.ImageStream)
	*written = *updated.(*imagev1.ImageStream)
	written.ResourceVersion = "8"
	return nil
}

// Names of images.
var one, two, three = "sha256:" + strings.Repeat("1", 64), "sha256:" + strings.Repeat("2", 64), "sha256:" + strings.Repeat("3", 64)

// pointing is a stored stream whose tag points to an image and pointed to all others before.
func pointing(image string) *imagev1.ImageStream {
	s := &imagev1.ImageStream{ObjectMeta: metav1.ObjectMeta{Name: "s", Namespace: "n", UID: "u", ResourceVersion: "7", Generation: 1}}
	for _, earlier := range []string{one, two, three, image} {
		point(s, earlier)
	}
	return s
}

func point(s *imagev1.ImageStream, image string) {
	event := imagev1.TagEvent{Image: image, DockerImageReference: "q.io/x@" + image, Created: metav1.Unix(1, 0)}
	if len(s.Status.Tags) == 0 {
		s.Status.Tags = []imagev1.NamedTagEventList{{Tag: "a"}}
	}
	s.Status.Tags[0].Items = slices.Insert(s.Status.Tags[0].Items, 0, event)
}

// TestMovesOfWritesThatAreDone: a move is reported once, by whatever way it was written, and only
// if the write was done. A lost race is followed by another attempt, in which the tag can move from
// elsewhere or not at all.
func TestMovesOfWritesThatAreDone(t *testing.T) {
	broken := errors.New("etcd is away")
	for name, test := range map[string]struct {
		versions []*imagev1.ImageStream
		failure  error
		dryRun   []string
		want     []stream.Move
	}{
		"done":                             {[]*imagev1.ImageStream{pointing(one)}, nil, nil, []stream.Move{{Tag: "a", From: one, To: three}}},
		"a race is lost":                   {[]*imagev1.ImageStream{pointing(one), pointing(two)}, nil, nil, []stream.Move{{Tag: "a", From: two, To: three}}},
		"a race against the same is lost":  {[]*imagev1.ImageStream{pointing(one), pointing(three)}, nil, nil, nil},
		"storage fails":                    {[]*imagev1.ImageStream{pointing(one)}, broken, nil, nil},
		"a race is lost and storage fails": {[]*imagev1.ImageStream{pointing(one), pointing(two)}, broken, nil, nil},
		"a dry run":                        {[]*imagev1.ImageStream{pointing(one)}, nil, []string{metav1.DryRunAll}, nil},
	} {
		inner := &attempts{versions: test.versions, failure: test.failure}
		var moves []stream.Move
		storages := newStorages(t, inner, func(_ *imagev1.ImageStream, m []stream.Move, _ string) { moves = append(moves, m...) })
		ctx := apirequest.WithNamespace(t.Context(), "n")
		change := func(s *imagev1.ImageStream, _ bool) error { point(s, three); return nil }
		options := &metav1.UpdateOptions{DryRun: test.dryRun}
		for way, write := range map[string]func() error{
			"a view": func() error {
				_, _, err := storages.Registry.Apply(ctx, "s", Write{DryRun: test.dryRun}, change)
				return err
			},
			"a mapping": func() error {
				_, _, err := storages.Registry.Apply(ctx, "s", Write{DryRun: test.dryRun, StatusOnly: true}, change)
				return err
			},
			"the status": func() error {
				_, _, err := storages.Status.Update(ctx, "s", update{ctx, "s", change}, rest.ValidateAllObjectFunc, rest.ValidateAllObjectUpdateFunc, false, options)
				return err
			},
			"the stream": func() error {
				toThree := func(s *imagev1.ImageStream, _ bool) error {
					s.Spec.Tags = []imagev1.TagReference{{
						Name: "a", From: &corev1.ObjectReference{Kind: "ImageStreamImage", Name: "s@" + three},
						ReferencePolicy: imagev1.TagReferencePolicy{Type: imagev1.SourceTagReferencePolicy},
						ImportPolicy:    imagev1.TagImportPolicy{ImportMode: imagev1.ImportModeLegacy},
					}}
					return nil
				}
				_, _, err := storages.Streams.Update(ctx, "s", update{ctx, "s", toThree}, rest.ValidateAllObjectFunc, rest.ValidateAllObjectUpdateFunc, false, options)
				return err
			},
		} {
			t.Run(name+", by "+way, func(t *testing.T) {
				moves = nil
				if err := write(); !errors.Is(err, test.failure) {
					t.Fatal(err)
				}
				if !slices.Equal(moves, test.want) {
					t.Errorf("moves %+v, want %+v", moves, test.want)
				}
			})
		}
	}
}

// newStorages are those of streams over a storage that is given.
func newStorages(t *testing.T, inner storage.Interface, moved func(*imagev1.ImageStream, []stream.Move, string)) Storage {
	t.Helper()
	scheme, codecs := imageapi.NewScheme(imagev1.ImportModeLegacy)
	config := storagebackend.NewDefaultConfig("", codecs.LegacyCodec(imagev1.GroupVersion))
	options := generic.RESTOptions{
		StorageConfig:  config.ForResource(imageapi.Resource(imageapi.ImageStreams)),
		ResourcePrefix: imageapi.ImageStreams,
		Decorator: func(*storagebackend.ConfigForResource, string, func(runtime.Object) (string, error), func() runtime.Object, func() runtime.Object, storage.AttrFunc, storage.IndexerFuncs, *cache.Indexers) (storage.Interface, factory.DestroyFunc, error) {
			return inner, func() {}, nil
		},
	}
	storages, err := NewStorage(scheme, options, Policy{
		LimitRanges: func(string) ([]*corev1.LimitRange, error) { return nil, nil },
		Moved:       moved,
	})
	if err != nil {
		t.Fatal(err)
	}
	return storages
}
