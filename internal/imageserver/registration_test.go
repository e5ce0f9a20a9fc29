package imageserver

import (
	"bytes"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	certutil "k8s.io/client-go/util/cert"
	apiregistrationv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
	"k8s.io/kube-aggregator/pkg/client/clientset_generated/clientset/fake"
)

const imageAPI = "v1.image.openshift.io"

var at = service{namespace: "kube-system", name: "weir-apiserver", port: 443}

func newRegistration(chain func() []byte) (*registration, *fake.Clientset) {
	client := fake.NewSimpleClientset()
	return &registration{client: client.ApiregistrationV1().APIServices(), service: at, certificate: chain}, client
}

// chainOf is a certificate for a host, and the authority after it.
func chainOf(t *testing.T, host string) []byte {
	t.Helper()
	chain, _, err := certutil.GenerateSelfSignedCertKey(host, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	return chain
}

// The APIServices follow the certificate, and nothing is written while they are right.
func TestRegistrationFollowsTheCertificate(t *testing.T) {
	chain := chainOf(t, "a")
	r, client := newRegistration(func() []byte { return chain })
	for range 2 {
		for range 2 {
			if err := r.reconcile(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		for _, name := range []string{imageAPI, "v1alpha1.weir.dev"} {
			found, err := r.client.Get(t.Context(), name, metav1.GetOptions{})
			if err != nil || found.Spec.Service.Name != at.name || !bytes.HasSuffix(chain, found.Spec.CABundle) || len(found.Spec.CABundle) == len(chain) {
				t.Errorf("%s: %+v, %v", name, found, err)
			}
		}
		chain = chainOf(t, "b")
	}
	writes := map[string]int{}
	for _, action := range client.Actions() {
		writes[action.GetVerb()]++
	}
	if writes["create"] != 2 || writes["update"] != 2 {
		t.Errorf("the writes are %v", writes)
	}
	chain = []byte("nothing")
	if err := r.reconcile(t.Context()); err == nil {
		t.Error("a certificate that is not PEM is registered")
	}
}

func TestCorrected(t *testing.T) {
	wanted := wantedAPIService(schema.GroupVersion{Group: "image.openshift.io", Version: "v1"}, 9900, at, []byte("ours"))
	change := func(f func(*apiregistrationv1.APIService)) *apiregistrationv1.APIService {
		s := wanted.DeepCopy()
		f(s)
		return s
	}
	other := []byte("other")
	for name, test := range map[string]struct{ current, want *apiregistrationv1.APIService }{
		"right": {wanted, nil},
		"another certificate": {
			change(func(s *apiregistrationv1.APIService) { s.Spec.CABundle, s.Spec.InsecureSkipTLSVerify = other, true }), wanted,
		},
		"another Service": {change(func(s *apiregistrationv1.APIService) { s.Spec.Service.Name = "old" }), wanted},
		"that of an API server with the image API in its process": {
			change(func(s *apiregistrationv1.APIService) {
				s.Labels = map[string]string{autoManaged: "onstart"}
				s.Spec.Service, s.Spec.CABundle = nil, nil
			}),
			change(func(s *apiregistrationv1.APIService) { s.Labels = map[string]string{} }),
		},
		"priorities of an administrator": {change(func(s *apiregistrationv1.APIService) { s.Spec.GroupPriorityMinimum = 1 }), nil},
		"the CA bundle is cert-manager's": {
			change(func(s *apiregistrationv1.APIService) {
				s.Annotations, s.Spec.CABundle = map[string]string{"cert-manager.io/inject-ca-from": "kube-system/weir"}, other
			}), nil,
		},
	} {
		if diff := cmp.Diff(test.want, corrected(test.current, wanted)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestParseService(t *testing.T) {
	for text, want := range map[string]service{
		"kube-system/weir-apiserver":      {"kube-system", "weir-apiserver", 443},
		"kube-system/weir-apiserver:9443": {"kube-system", "weir-apiserver", 9443},
		"weir-apiserver":                  {}, "a/b/c": {}, "/b": {}, "a/": {}, "a/b:": {}, "a/b:0": {}, "a/b:70000": {}, "A/b": {},
	} {
		got, err := parseService(text)
		if got != want || (err == nil) != (want != service{}) {
			t.Errorf("%s: %+v, %v", text, got, err)
		}
	}
}
