package imagestream

import (
	"context"

	imagev1 "github.com/openshift/api/image/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	apirequest "k8s.io/apiserver/pkg/endpoints/request"
	genericregistry "k8s.io/apiserver/pkg/registry/generic/registry"
	"k8s.io/apiserver/pkg/registry/rest"

	"weir.dev/weir/internal/imageapi"
	"weir.dev/weir/internal/stream"
)

// Causes of moved tags.
const (
	CauseImport   = "import"
	CauseSchedule = "schedule"
	CausePush     = "push"
	CauseSpec     = "change of spec"
	CauseStatus   = "change of status"
)

type causeKey struct{}

// WithCause adds the cause of its writes to a context whose request does not show it.
func WithCause(ctx context.Context, cause string) context.Context {
	return context.WithValue(ctx, causeKey{}, cause)
}

// causeOf is the cause of a write by the resource of its request.
func causeOf(ctx context.Context) string {
	if cause, ok := ctx.Value(causeKey{}).(string); ok {
		return cause
	}
	info, ok := apirequest.RequestInfoFrom(ctx)
	switch {
	case !ok:
		return CauseSpec
	case info.Resource == imageapi.ImageStreamMappings:
		return CausePush
	case info.Resource == imageapi.ImageStreamImports:
		return CauseImport
	case info.Subresource == "status":
		return CauseStatus
	}
	return CauseSpec
}

// movingStore is the store of streams for writers of one kind. It reports the tags that its updates
// move.
type movingStore struct {
	*genericregistry.Store
	moved func(s *imagev1.ImageStream, moves []stream.Move, cause string)
}

// Update writes a stream and then reports its moves. The store's own hooks come too early: they run
// for each attempt, also for one that loses a race or that storage refuses.
func (s movingStore) Update(ctx context.Context, name string, info rest.UpdatedObjectInfo, create rest.ValidateObjectFunc, update rest.ValidateObjectUpdateFunc, allowCreate bool, options *metav1.UpdateOptions) (runtime.Object, bool, error) {
	attempts := &lastAttempt{UpdatedObjectInfo: info}
	obj, created, err := s.Store.Update(ctx, name, attempts, create, update, allowCreate, options)
	if err == nil && s.moved != nil && (options == nil || len(options.DryRun) == 0) {
		s.announce(ctx, attempts.before, obj.(*imagev1.ImageStream))
	}
	return obj, created, err
}

func (s movingStore) announce(ctx context.Context, before, now *imagev1.ImageStream) {
	// An update that changes nothing, or that ends the last finalizer of a deleted stream, writes
	// no version.
	if before == nil || before.ResourceVersion == now.ResourceVersion {
		return
	}
	if moves := stream.Moves(before, now); len(moves) > 0 {
		s.moved(now, moves, causeOf(ctx))
	}
}

// lastAttempt keeps the stored stream that the last attempt of an update began with.
type lastAttempt struct {
	rest.UpdatedObjectInfo
	before *imagev1.ImageStream
}

// UpdatedObject implements rest.UpdatedObjectInfo.
func (a *lastAttempt) UpdatedObject(ctx context.Context, old runtime.Object) (runtime.Object, error) {
	a.before = old.(*imagev1.ImageStream)
	return a.UpdatedObjectInfo.UpdatedObject(ctx, old)
}
