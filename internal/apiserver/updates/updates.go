// Package updates provides the part of updates that all stored objects have in common: an update
// that changes nothing writes nothing.
package updates

import (
	"context"
	"reflect"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/registry/rest"

	"weir.dev/weir/internal/imageapi"
)

// Info returns an update whose objects, the stored and the wanted one, stay without kind and
// apiVersion, so that the store finds them equal when they say the same.
//
// The generic server converts objects between the internal version and v1 in place where both are
// one Go type, as they are here, and notes the version in the object that it converts.
func Info(info rest.UpdatedObjectInfo) rest.UpdatedObjectInfo { return plainInfo{info} }

type plainInfo struct{ rest.UpdatedObjectInfo }

// UpdatedObject implements rest.UpdatedObjectInfo.
func (i plainInfo) UpdatedObject(ctx context.Context, old runtime.Object) (updated runtime.Object, err error) {
	defer refusePatch(ctx, &err)
	updated, err = i.UpdatedObjectInfo.UpdatedObject(ctx, shallow(old))
	if err != nil {
		return nil, err
	}
	imageapi.ClearKind(updated)
	return updated, nil
}

// shallow is a copy of an object of the group that shares all but the fields of its struct.
func shallow(obj runtime.Object) runtime.Object {
	source := reflect.ValueOf(obj).Elem()
	target := reflect.New(source.Type())
	target.Elem().Set(source)
	return target.Interface().(runtime.Object)
}
