// Package imagestreamsecrets provides the REST storage of imagestreams/secrets: the
// pull secrets of a namespace, for whoever may import into its streams without
// being allowed to read Secrets.
package imagestreamsecrets

import (
	"context"
	"fmt"

	imagev1 "github.com/openshift/api/image/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	apirequest "k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/apiserver/pkg/registry/rest"
)

// PullSecrets returns the Secrets of a namespace with credentials for registries,
// whole. A namespace that does not exist has none.
type PullSecrets func(ctx context.Context, namespace string) (*corev1.SecretList, error)

// REST serves imagestreams/secrets.
type REST struct {
	pullSecrets PullSecrets
}

var _ rest.GetterWithOptions = (*REST)(nil)

// NewREST makes the storage and has scheme know the resource's options.
func NewREST(scheme *runtime.Scheme, pullSecrets PullSecrets) (*REST, error) {
	if err := addOptions(scheme); err != nil {
		return nil, fmt.Errorf("registering the options of imagestreams/secrets: %w", err)
	}
	return &REST{pullSecrets: pullSecrets}, nil
}

// New implements rest.Storage.
func (*REST) New() runtime.Object { return &imagev1.SecretList{} }

// Destroy has nothing to release.
func (*REST) Destroy() {}

// NewGetOptions implements rest.GetterWithOptions.
func (*REST) NewGetOptions() (runtime.Object, bool, string) { return &noOptions{}, false, "" }

// Get lists the pull secrets of the namespace. The stream of that name need not
// exist: the right to read this is a right to the namespace's pull secrets.
func (r *REST) Get(ctx context.Context, _ string, _ runtime.Object) (runtime.Object, error) {
	secrets, err := r.pullSecrets(ctx, apirequest.NamespaceValue(ctx))
	if err != nil {
		return nil, err
	}
	return &imagev1.SecretList{ListMeta: secrets.ListMeta, Items: secrets.Items}, nil
}
