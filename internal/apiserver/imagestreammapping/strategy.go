package imagestreammapping

import (
	"context"
	"fmt"

	imagev1 "github.com/openshift/api/image/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/apiserver/pkg/registry/rest"
	"k8s.io/apiserver/pkg/storage/names"

	"weir.dev/weir/internal/imageapi/dockerimage"
	"weir.dev/weir/internal/imageapi/validation"
)

// strategy completes and validates a mapping.
type strategy struct {
	runtime.ObjectTyper
	names.NameGenerator
	host string // of the integrated registry, "" if there is none
}

var _ rest.RESTCreateStrategy = strategy{}

func newStrategy(scheme *runtime.Scheme, host string) strategy {
	return strategy{ObjectTyper: scheme, NameGenerator: names.SimpleNameGenerator, host: host}
}

func (strategy) NamespaceScoped() bool                                     { return true }
func (strategy) Canonicalize(runtime.Object)                               {}
func (strategy) WarningsOnCreate(context.Context, runtime.Object) []string { return nil }

// PrepareForCreate drops signatures, which have their own resource and rights, and the
// mark of a claim, which is the server's. An image that names no place is placed in
// the stream's repository.
func (s strategy) PrepareForCreate(_ context.Context, obj runtime.Object) {
	m := obj.(*imagev1.ImageStreamMapping)
	m.Image.Signatures = nil
	dockerimage.Unclaim(&m.Image)
	if m.Image.DockerImageReference == "" && s.host != "" {
		// Without a name of stream or image this is no pull spec, which validation reports.
		m.Image.DockerImageReference = fmt.Sprintf("%s/%s/%s@%s", s.host, m.Namespace, m.Name, m.Image.Name)
	}
}

// Validate implements rest.RESTCreateStrategy.
func (strategy) Validate(_ context.Context, obj runtime.Object) field.ErrorList {
	return validation.ImageStreamMapping(obj.(*imagev1.ImageStreamMapping))
}
