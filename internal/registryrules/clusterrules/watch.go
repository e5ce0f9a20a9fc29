package clusterrules

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"

	configv1 "github.com/openshift/api/config/v1"
	operatorv1alpha1 "github.com/openshift/api/operator/v1alpha1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/dynamic/dynamicinformer"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"

	"weir.dev/weir/internal/registryrules"
)

// clusterImage is the name of the one Image object that counts.
const clusterImage = "cluster"

// resource is a watched resource and how its objects enter the rules.
type resource struct {
	name   string
	kind   string
	object string // only this one; "" for all
	add    func(*registryrules.ClusterObjects, map[string]any) error
}

// watched are the resources by group version.
var watched = map[schema.GroupVersion][]resource{
	operatorv1alpha1.GroupVersion: {
		{name: "imagecontentsourcepolicies", kind: "ImageContentSourcePolicy", add: addContentSourcePolicy},
	},
	configv1.GroupVersion: {
		{name: "imagedigestmirrorsets", kind: "ImageDigestMirrorSet", add: addDigestMirrorSet},
		{name: "imagetagmirrorsets", kind: "ImageTagMirrorSet", add: addTagMirrorSet},
		{name: "images", kind: "Image", object: clusterImage, add: addImage},
	},
}

// resourceCount is how many resources there are to know about.
const resourceCount = 4

func addContentSourcePolicy(to *registryrules.ClusterObjects, from map[string]any) error {
	return convert(from, func(o *operatorv1alpha1.ImageContentSourcePolicy) {
		to.ContentSourcePolicies = append(to.ContentSourcePolicies, *o)
	})
}

func addDigestMirrorSet(to *registryrules.ClusterObjects, from map[string]any) error {
	return convert(from, func(o *configv1.ImageDigestMirrorSet) {
		to.DigestMirrorSets = append(to.DigestMirrorSets, *o)
	})
}

func addTagMirrorSet(to *registryrules.ClusterObjects, from map[string]any) error {
	return convert(from, func(o *configv1.ImageTagMirrorSet) {
		to.TagMirrorSets = append(to.TagMirrorSets, *o)
	})
}

func addImage(to *registryrules.ClusterObjects, from map[string]any) error {
	return convert(from, func(o *configv1.Image) { to.Image = o })
}

func convert[T any](from map[string]any, use func(*T)) error {
	into := new(T)
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(from, into); err != nil {
		return err
	}
	use(into)
	return nil
}

// watch is the running watch of one resource.
type watch struct {
	resource resource
	informer cache.SharedIndexInformer
	cancel   context.CancelFunc
	work     sync.WaitGroup
}

// startWatch lists and watches a resource and calls notify for every change.
func startWatch(ctx context.Context, client dynamic.Interface, gvr schema.GroupVersionResource, r resource, notify func()) *watch {
	ctx, cancel := context.WithCancel(ctx)
	only := func(o *metav1.ListOptions) {
		if r.object != "" {
			o.FieldSelector = fields.OneTermEqualSelector(metav1.ObjectNameField, r.object).String()
		}
	}
	w := &watch{resource: r, cancel: cancel}
	w.informer = dynamicinformer.NewFilteredDynamicInformer(client, gvr, metav1.NamespaceAll, 0, cache.Indexers{}, only).Informer()
	logger := klog.FromContext(ctx)
	// An informer that was never started takes a handler of either kind; the
	// errors are of a started one only.
	_ = w.informer.SetWatchErrorHandlerWithContext(func(_ context.Context, _ *cache.Reflector, err error) {
		logger.V(2).Info("Watch failed; what is known stays", "resource", gvr, "err", err)
	})
	changed := cache.ResourceEventHandlerFuncs{
		AddFunc:    func(any) { notify() },
		UpdateFunc: func(any, any) { notify() },
		DeleteFunc: func(any) { notify() },
	}
	_, _ = w.informer.AddEventHandler(changed)
	w.work.Go(func() { w.informer.RunWithContext(ctx) })
	w.work.Go(func() {
		// An empty list makes no event, but it makes the watch count.
		if cache.WaitForCacheSync(ctx.Done(), w.informer.HasSynced) {
			notify()
		}
	})
	return w
}

// stop ends the watch and waits for its goroutines.
func (w *watch) stop() {
	w.cancel()
	w.work.Wait()
}

// objects are the objects of all watches that have been listed completely;
// half a list would be rules that no administrator wrote.
func (w *Watcher) objects() (registryrules.ClusterObjects, []registryrules.Warning) {
	w.mu.Lock()
	defer w.mu.Unlock()
	var objects registryrules.ClusterObjects
	var warnings []registryrules.Warning
	for _, running := range w.watches {
		if !running.informer.HasSynced() {
			continue
		}
		warnings = append(warnings, running.collect(&objects)...)
	}
	return objects, warnings
}

// collect adds the objects of a watch; one that cannot be read is left out.
func (w *watch) collect(to *registryrules.ClusterObjects) []registryrules.Warning {
	var warnings []registryrules.Warning
	items := w.informer.GetStore().List()
	slices.SortFunc(items, func(a, b any) int { return cmp.Compare(nameOf(a), nameOf(b)) })
	for _, item := range items {
		u, ok := item.(*unstructured.Unstructured)
		if !ok || w.resource.object != "" && u.GetName() != w.resource.object {
			continue
		}
		if err := w.resource.add(to, u.Object); err != nil {
			warnings = append(warnings, registryrules.Warning{
				Origin: w.resource.kind + " " + u.GetName(),
				Text:   fmt.Sprintf("not readable: %v: object left out", err),
			})
		}
	}
	return warnings
}

func nameOf(item any) string {
	if u, ok := item.(*unstructured.Unstructured); ok {
		return u.GetName()
	}
	return ""
}
