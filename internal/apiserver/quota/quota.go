// Package quota counts image streams for ResourceQuotas that name them
// openshift.io/imagestreams. count/imagestreams.image.openshift.io needs nothing
// of this: Kubernetes counts every stored resource under that name by itself.
package quota

import (
	"context"
	"fmt"

	imagev1 "github.com/openshift/api/image/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/admission"
	quota "k8s.io/apiserver/pkg/quota/v1"
	"k8s.io/apiserver/pkg/quota/v1/generic"

	"weir.dev/weir/internal/imageapi"
	"weir.dev/weir/internal/reference"
)

// Streams is the name of the quota.
const Streams corev1.ResourceName = "openshift.io/imagestreams"

// Exists reports whether a stream is stored; an unknown one is taken as stored,
// so that trouble of the moment charges nobody.
type Exists func(ctx context.Context, namespace, name string) bool

// Evaluators are those of the group. lister is nil at admission; exists is called
// only there.
func Evaluators(lister quota.ListerForResourceFunc, exists Exists) []quota.Evaluator {
	streams := imagev1.GroupVersion.WithResource(imageapi.ImageStreams)
	evaluators := []quota.Evaluator{
		generic.NewObjectCountEvaluator(streams.GroupResource(), generic.ListResourceUsingListerFunc(lister, streams), Streams),
	}
	for _, r := range []string{imageapi.ImageStreamTags, imageapi.ImageTags, imageapi.ImageStreamImports} {
		evaluators = append(evaluators, creator{resource: r, exists: exists})
	}
	return evaluators
}

// creator charges for the stream that a tag or an import makes when there is none.
type creator struct {
	resource string
	exists   Exists
}

var _ quota.Evaluator = creator{}

// GroupResource implements quota.Evaluator.
func (c creator) GroupResource() schema.GroupResource { return imageapi.Resource(c.resource) }

// Handles tags that are created or updated, and imports that are made.
func (c creator) Handles(a admission.Attributes) bool {
	if a.GetSubresource() != "" {
		return false
	}
	op := a.GetOperation()
	return op == admission.Create || (op == admission.Update && c.resource != imageapi.ImageStreamImports)
}

// Matches implements quota.Evaluator: quotas with scopes do not count streams.
func (c creator) Matches(q *corev1.ResourceQuota, item runtime.Object) (bool, error) {
	return generic.Matches(q, item, c.MatchingResources, generic.MatchesNoScopeFunc)
}

// MatchingScopes implements quota.Evaluator.
func (creator) MatchingScopes(runtime.Object, []corev1.ScopedResourceSelectorRequirement) ([]corev1.ScopedResourceSelectorRequirement, error) {
	return nil, nil
}

// UncoveredQuotaScopes implements quota.Evaluator.
func (creator) UncoveredQuotaScopes([]corev1.ScopedResourceSelectorRequirement, []corev1.ScopedResourceSelectorRequirement) ([]corev1.ScopedResourceSelectorRequirement, error) {
	return nil, nil
}

// MatchingResources implements quota.Evaluator.
func (creator) MatchingResources(names []corev1.ResourceName) []corev1.ResourceName {
	return quota.Intersection(names, []corev1.ResourceName{Streams, countStreams})
}

// countStreams is the other name of the same quota.
const countStreams corev1.ResourceName = "count/imagestreams.image.openshift.io"

// Constraints implements quota.Evaluator: no object is refused for its own sake.
func (creator) Constraints([]corev1.ResourceName, runtime.Object) error { return nil }

// Usage charges one stream if the object would make one.
func (c creator) Usage(item runtime.Object) (corev1.ResourceList, error) {
	namespace, name, makes, err := target(item)
	if err != nil {
		return nil, err
	}
	if !makes || c.exists == nil || c.exists(context.Background(), namespace, name) {
		return corev1.ResourceList{}, nil
	}
	return corev1.ResourceList{Streams: resource.MustParse("1"), countStreams: resource.MustParse("1")}, nil
}

// UsageStats counts nothing: tags and imports are not stored.
func (creator) UsageStats(quota.UsageStatsOptions) (quota.UsageStats, error) {
	return quota.UsageStats{Used: corev1.ResourceList{}}, nil
}

// target is the stream that an object is written into.
func target(item runtime.Object) (namespace, name string, makes bool, err error) {
	switch obj := item.(type) {
	case *imagev1.ImageStreamTag:
		return ofTag(obj)
	case *imagev1.ImageTag:
		return ofTag(obj)
	case *imagev1.ImageStreamImport:
		sources := len(obj.Spec.Images) > 0 || obj.Spec.Repository != nil
		return obj.Namespace, obj.Name, obj.Spec.Import && sources, nil
	}
	return "", "", false, fmt.Errorf("counting image streams: %T makes none", item)
}

// ofTag is the stream of a tag. One whose spec is empty makes it, too.
func ofTag(tag metav1.Object) (namespace, name string, makes bool, err error) {
	stream, _, err := reference.SplitStreamTag(tag.GetName())
	return tag.GetNamespace(), stream, err == nil, nil
}
