// Package etcdroom provides stores of API objects that answer 507 Insufficient Storage when etcd has
// no room for more.
package etcdroom

import (
	"context"
	"net/http"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/registry/generic"
	"k8s.io/apiserver/pkg/storage"
	"k8s.io/apiserver/pkg/storage/storagebackend"
	"k8s.io/apiserver/pkg/storage/storagebackend/factory"
	"k8s.io/client-go/tools/cache"
)

// ReasonInsufficient is the reason of what is refused with 507 because etcd has no
// room for it. Kubernetes has no reason of its own for that.
const ReasonInsufficient metav1.StatusReason = "InsufficientStorage"

// Room reports whether etcd has room for more. Both functions return why not, in words for
// clients, and "" otherwise. Each may be nil.
type Room struct {
	// Refusal is why new objects are refused at the moment.
	Refusal func() string
	// Cause is why a write failed.
	Cause func(error) string
}

// Storage has the stores of a getter answer 507 when etcd has no room, which would be a 500
// without a word that a client can understand.
func (r Room) Storage(getter generic.RESTOptionsGetter) generic.RESTOptionsGetter {
	return roomGetter{getter, r}
}

type roomGetter struct {
	generic.RESTOptionsGetter
	room Room
}

// GetRESTOptions implements generic.RESTOptionsGetter.
func (g roomGetter) GetRESTOptions(resource schema.GroupResource, example runtime.Object) (generic.RESTOptions, error) {
	options, err := g.RESTOptionsGetter.GetRESTOptions(resource, example)
	if err != nil {
		return options, err
	}
	decorate := options.Decorator
	options.Decorator = func(config *storagebackend.ConfigForResource, prefix string, key func(runtime.Object) (string, error),
		newObject, newList func() runtime.Object, attributes storage.AttrFunc, trigger storage.IndexerFuncs, indexers *cache.Indexers,
	) (storage.Interface, factory.DestroyFunc, error) {
		s, destroy, err := decorate(config, prefix, key, newObject, newList, attributes, trigger, indexers)
		if err != nil {
			return nil, nil, err
		}
		return roomStorage{s, g.room, resource}, destroy, nil
	}
	return options, nil
}

type roomStorage struct {
	storage.Interface
	room     Room
	resource schema.GroupResource
}

// Create implements storage.Interface.
func (s roomStorage) Create(ctx context.Context, key string, obj, out runtime.Object, ttl uint64) error {
	if s.room.Refusal != nil {
		if why := s.room.Refusal(); why != "" {
			return s.insufficient(why)
		}
	}
	return s.explain(s.Interface.Create(ctx, key, obj, out, ttl))
}

// GuaranteedUpdate implements storage.Interface.
func (s roomStorage) GuaranteedUpdate(ctx context.Context, key string, into runtime.Object, ignoreNotFound bool,
	preconditions *storage.Preconditions, update storage.UpdateFunc, cached runtime.Object,
) error {
	return s.explain(s.Interface.GuaranteedUpdate(ctx, key, into, ignoreNotFound, preconditions, update, cached))
}

// Delete implements storage.Interface.
func (s roomStorage) Delete(ctx context.Context, key string, out runtime.Object, preconditions *storage.Preconditions,
	validate storage.ValidateObjectFunc, cached runtime.Object, opts storage.DeleteOptions,
) error {
	return s.explain(s.Interface.Delete(ctx, key, out, preconditions, validate, cached, opts))
}

func (s roomStorage) explain(err error) error {
	if err == nil || s.room.Cause == nil {
		return err
	}
	if why := s.room.Cause(err); why != "" {
		return s.insufficient(why)
	}
	return err
}

func (s roomStorage) insufficient(why string) error {
	return &apierrors.StatusError{ErrStatus: metav1.Status{
		Status:  metav1.StatusFailure,
		Code:    http.StatusInsufficientStorage,
		Reason:  ReasonInsufficient,
		Message: why,
		Details: &metav1.StatusDetails{Group: s.resource.Group, Kind: s.resource.Resource},
	}}
}
