package updates

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"
	apirequest "k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/klog/v2"
)

// The words by which these errors of server-side apply are known; they have no types.
const (
	liveObject   = "live object"
	unknownField = "field not declared in schema"
)

// refusePatch turns what a patch of wrong types does to the generic server, a panic or an error
// without a status, into the answer to a patch that cannot be applied. It is deferred.
//
// The library for strategic merge patches panics on several such patches, for example on a map in
// the place of the name by which it merges the items of a list. The panic is of the client's making
// and leaves nothing behind: the patch is applied to a copy. Panics of other requests are not
// recovered here. An apply with an unknown field stays the internal error that clients know.
func refusePatch(ctx context.Context, err *error) {
	request, ok := apirequest.RequestInfoFrom(ctx)
	if !ok || request.Verb != "patch" {
		return
	}
	if cause := recover(); cause != nil {
		klog.FromContext(ctx).Info("Rejecting a patch that panics", "path", request.Path, "panic", fmt.Sprint(cause), "stack", string(debug.Stack()))
		*err = unpatchable(fmt.Sprint(cause))
		return
	}
	if faultOfPatch(*err) {
		*err = unpatchable((*err).Error())
	}
}

// faultOfPatch reports whether an error without a status is about the patch: it is, unless the
// request ended, or the stored object cannot be read.
func faultOfPatch(err error) bool {
	var status apierrors.APIStatus
	if err == nil || errors.As(err, &status) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return false
	}
	return !strings.Contains(err.Error(), liveObject) && !strings.Contains(err.Error(), unknownField)
}

func unpatchable(why string) error {
	return apierrors.NewInvalid(schema.GroupKind{}, "", field.ErrorList{
		field.Invalid(field.NewPath("patch"), why, "cannot be applied: a value has another type than its field"),
	})
}
