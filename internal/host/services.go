package host

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/url"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/apiserver/pkg/util/webhook"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
)

// services are the addresses, host:port, of Services by NAMESPACE/NAME. The host serves no Services:
// the aggregator and webhooks take these for those that exist.
type services map[string]string

// validate reports every entry that is not NAMESPACE/NAME=HOST:PORT.
func (s services) validate() error {
	var errs []error
	for _, key := range slices.Sorted(maps.Keys(s)) {
		namespace, name, ok := strings.Cut(key, "/")
		if !ok || len(validation.IsDNS1123Label(namespace)) > 0 || len(validation.IsDNS1035Label(name)) > 0 {
			errs = append(errs, fmt.Errorf("--aggregated-service %s=%s: %q is not NAMESPACE/NAME of a Service", key, s[key], key))
		}
		if host, port, err := net.SplitHostPort(s[key]); err != nil || host == "" || port == "" {
			errs = append(errs, fmt.Errorf("--aggregated-service %s=%s: %q is not HOST:PORT", key, s[key], s[key]))
		}
	}
	return errors.Join(errs...)
}

// resolver finds the URL of a Service. Those without an address are reached by their DNS name.
func (s services) resolver() webhook.ServiceResolver {
	return addresses{s, webhook.NewDefaultServiceResolver()}
}

type addresses struct {
	services services
	byName   webhook.ServiceResolver
}

// ResolveEndpoint implements webhook.ServiceResolver.
func (a addresses) ResolveEndpoint(namespace, name string, port int32) (*url.URL, error) {
	if address, ok := a.services[namespace+"/"+name]; ok {
		return &url.URL{Scheme: "https", Host: address}, nil
	}
	return a.byName.ResolveEndpoint(namespace, name, port)
}

// addInformers gives a factory the informers of Services and EndpointSlices, which the aggregator
// reads to find out whether an API server elsewhere is available.
func (s services) addInformers(factory informers.SharedInformerFactory) {
	list := &corev1.ServiceList{ListMeta: metav1.ListMeta{ResourceVersion: "1"}}
	for _, key := range slices.Sorted(maps.Keys(s)) {
		namespace, name, _ := strings.Cut(key, "/")
		// The aggregator looks for no endpoints of a Service of this type.
		list.Items = append(list.Items, corev1.Service{
			ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, ResourceVersion: "1"},
			Spec:       corev1.ServiceSpec{Type: corev1.ServiceTypeExternalName, ExternalName: s[key]},
		})
	}
	fixed(factory, &corev1.Service{}, list)
	fixed(factory, &discoveryv1.EndpointSlice{}, &discoveryv1.EndpointSliceList{ListMeta: metav1.ListMeta{ResourceVersion: "1"}})
}

// fixed gives a factory an informer of objects that never change.
func fixed(factory informers.SharedInformerFactory, example, list runtime.Object) {
	factory.InformerFor(example, func(_ kubernetes.Interface, resync time.Duration) cache.SharedIndexInformer {
		lw := &cache.ListWatch{
			ListWithContextFunc: func(context.Context, metav1.ListOptions) (runtime.Object, error) { return list.DeepCopyObject(), nil },
			WatchFuncWithContext: func(ctx context.Context, _ metav1.ListOptions) (watch.Interface, error) {
				return silent{make(chan watch.Event)}, nil
			},
		}
		return cache.NewSharedIndexInformer(cache.ToListWatcherWithWatchListSemantics(lw, silent{}), example, resync,
			cache.Indexers{cache.NamespaceIndex: cache.MetaNamespaceIndexFunc})
	})
}

// silent is a watch without events, of a client that cannot list by watching.
type silent struct{ events chan watch.Event }

// Stop implements watch.Interface.
func (silent) Stop() {}

// ResultChan implements watch.Interface.
func (s silent) ResultChan() <-chan watch.Event { return s.events }

// IsWatchListSemanticsUnSupported has informers list before they watch.
func (silent) IsWatchListSemanticsUnSupported() bool { return true }
