package imagestream

import (
	"context"

	imagev1 "github.com/openshift/api/image/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	apirequest "k8s.io/apiserver/pkg/endpoints/request"
	genericregistry "k8s.io/apiserver/pkg/registry/generic/registry"

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

// announceMoves reports the tags that an update moves once it is written. An update that loses a
// race, is refused or is a dry run reports nothing.
func (p Policy) announceMoves(_ context.Context, obj, old runtime.Object, options *metav1.UpdateOptions) (genericregistry.FinishFunc, error) {
	now, before := obj.(*imagev1.ImageStream), old.(*imagev1.ImageStream)
	dryRun := options != nil && len(options.DryRun) > 0
	return func(ctx context.Context, written bool) {
		if !written || dryRun || p.Moved == nil {
			return
		}
		if moves := stream.Moves(before, now); len(moves) > 0 {
			p.Moved(now, moves, causeOf(ctx))
		}
	}, nil
}
