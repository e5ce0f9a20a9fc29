package imagestreamsecrets

import (
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"

	imagev1 "github.com/openshift/api/image/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/conversion"
	"k8s.io/apimachinery/pkg/runtime"
)

// noOptions are the query parameters of the resource: it takes none. Silently
// ignoring a selector would return secrets that the request does not cover.
type noOptions struct {
	metav1.TypeMeta
}

// DeepCopyObject implements runtime.Object.
func (o *noOptions) DeepCopyObject() runtime.Object {
	copied := *o
	return &copied
}

// addOptions has scheme know the options and refuse to read any. The text holds
// the words by which clients know the refusal.
func addOptions(scheme *runtime.Scheme) error {
	scheme.AddKnownTypeWithName(imagev1.GroupVersion.WithKind("ImageStreamSecretsOptions"), &noOptions{})
	return scheme.AddConversionFunc((*url.Values)(nil), (*noOptions)(nil), func(from, _ any, _ conversion.Scope) error {
		names := slices.Sorted(maps.Keys(*from.(*url.Values)))
		return fmt.Errorf("imagestreams/secrets takes no query parameters: unknown conversion of %s", strings.Join(names, ", "))
	})
}
