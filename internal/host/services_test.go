package host

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes/fake"
)

func TestServicesAreValidated(t *testing.T) {
	for entry, ok := range map[[2]string]bool{
		{"kube-system/weir-apiserver", "127.0.0.1:9443"}: true,
		{"kube-system/weir-apiserver", "[::1]:9443"}:     true,
		{"kube-system/weir-apiserver", "weir:9443"}:      true,
		{"weir-apiserver", "127.0.0.1:9443"}:             false,
		{"a/b/c", "127.0.0.1:9443"}:                      false,
		{"kube-system/weir-apiserver", "127.0.0.1"}:      false,
		{"kube-system/weir-apiserver", ":9443"}:          false,
		{"kube-system/weir-apiserver", ""}:               false,
	} {
		if err := (services{entry[0]: entry[1]}).validate(); (err == nil) != ok {
			t.Errorf("%s=%s: %v", entry[0], entry[1], err)
		}
	}
}

func TestServicesAreResolved(t *testing.T) {
	resolver := services{"kube-system/weir-apiserver": "127.0.0.1:9443"}.resolver()
	for name, want := range map[string]string{"weir-apiserver": "https://127.0.0.1:9443", "other": "https://other.kube-system.svc:443"} {
		if url, err := resolver.ResolveEndpoint("kube-system", name, 443); err != nil || url.String() != want {
			t.Errorf("%s: %v, %v", name, url, err)
		}
	}
}

// The aggregator finds a Service for which it looks for no endpoints.
func TestServicesAreListed(t *testing.T) {
	factory := informers.NewSharedInformerFactory(fake.NewClientset(), 0)
	services{"kube-system/weir-apiserver": "127.0.0.1:9443"}.addInformers(factory)
	lister := factory.Core().V1().Services().Lister()
	slices := factory.Discovery().V1().EndpointSlices().Informer()
	factory.Start(t.Context().Done())
	for kind, synced := range factory.WaitForCacheSync(t.Context().Done()) {
		if !synced {
			t.Errorf("the informer of %v has no list", kind)
		}
	}
	found, err := lister.Services("kube-system").Get("weir-apiserver")
	if err != nil || found.Spec.Type != corev1.ServiceTypeExternalName || len(slices.GetStore().List()) != 0 {
		t.Errorf("%v, %v", found, err)
	}
}
