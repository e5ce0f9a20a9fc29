package credential

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	"k8s.io/apiserver/pkg/authentication/user"
	metadatafake "k8s.io/client-go/metadata/fake"
	clienttesting "k8s.io/client-go/testing"

	"weir.dev/weir/internal/auth/tokens"
)

var at = time.Unix(1900000000, 0)

// jwt is an unsigned token with that content.
func jwt(payload string) string {
	return "x." + base64.RawURLEncoding.EncodeToString([]byte(payload)) + ".y"
}

func TestEndOf(t *testing.T) {
	for token, want := range map[string]tokens.End{
		jwt(`{"exp":1900000000}`):                   {At: at},
		jwt(`{"exp":1.9e9}`):                        {At: at},
		jwt(`{"iss":"https://x","exp":1900000000}`): {At: at, Issuer: "https://x"},
		jwt(`{"exp":1900000000,"kubernetes.io":{"namespace":"shop","serviceaccount":{"name":"robot","uid":"7"}}}`): {At: at},
		jwt(`{"exp":1900000000,"kubernetes.io":{"namespace":"shop","secret":{"name":"s","uid":"8"}}}`): {
			At: at, Bound: []tokens.Object{{Resource: "secrets", Namespace: "shop", Name: "s", UID: "8"}},
		},
		jwt(`{"exp":1900000000,"kubernetes.io":{"namespace":"shop","pod":{"name":"p","uid":"9"},"node":{"name":"n","uid":"10"}}}`): {
			At: at, Bound: []tokens.Object{{Resource: "pods", Namespace: "shop", Name: "p", UID: "9"}},
		},
		jwt(`{"exp":1900000000,"kubernetes.io":{"namespace":"shop","node":{"name":"n","uid":"10"}}}`): {
			At: at, Bound: []tokens.Object{{Resource: "nodes", Name: "n", UID: "10"}},
		},
		jwt(`{"kubernetes.io/serviceaccount/namespace":"shop","kubernetes.io/serviceaccount/secret.name":"s"}`): {
			Bound: []tokens.Object{{Resource: "secrets", Namespace: "shop", Name: "s"}},
		},
	} {
		got, ok := EndOf(token)
		if diff := cmp.Diff(want, got); !ok || diff != "" {
			t.Errorf("%s: %v (-want +got):\n%s", token, ok, diff)
		}
	}
	for _, token := range []string{
		"", "opaque", "a.b", "a.!.c", jwt(`{}`), jwt(`{"exp":"soon"}`), jwt(`{"exp":-1}`), jwt(`{"exp":1e300}`), jwt(`[1]`), "a." + jwt(`{"exp":1}`),
	} {
		if end, ok := EndOf(token); ok {
			t.Errorf("%q ends %+v", token, end)
		}
	}
}

func FuzzEndOf(f *testing.F) {
	for _, seed := range []string{`{"exp":1900000000}`, `{"kubernetes.io":{"secret":{}}}`, `{"kubernetes.io":null,"exp":1e9}`, `[`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, payload string) {
		end, ok := EndOf(jwt(payload))
		if ok == (end.At.IsZero() && len(end.Bound) == 0) {
			t.Fatalf("%q: %+v, %v", payload, end, ok)
		}
		EndOf(payload)
	})
}

// Whichever credential of a request is the one that identified the user, the end is not later.
func TestEndOfARequest(t *testing.T) {
	soon, late := jwt(`{"exp":1900000000}`), jwt(`{"exp":2900000000}`)
	for name, test := range map[string]struct {
		authorization string
		certificate   time.Time
		protocols     string
		want          time.Time // zero is no end
	}{
		"nothing":                            {},
		"a token":                            {authorization: "Bearer " + soon, want: at},
		"a token in another spelling":        {authorization: "  bearer " + soon + " x", want: at},
		"an opaque token":                    {authorization: "Bearer x"},
		"a certificate":                      {certificate: at, want: at},
		"a token and a later certificate":    {authorization: "Bearer " + soon, certificate: at.Add(time.Hour), want: at},
		"a token and an earlier certificate": {authorization: "Bearer " + late, certificate: at, want: at},
		"an opaque token and a certificate":  {authorization: "Bearer x", certificate: at},
		"a password":                         {authorization: "Basic eDp5"},
		"a token among protocols":            {authorization: "Bearer " + late, certificate: at, protocols: "base64url.bearer.authorization.k8s.io.eA"},
	} {
		r := httptest.NewRequest(http.MethodPost, "/apis/weir.dev/v1alpha1/registrytokens", nil)
		r.Header.Set("Authorization", test.authorization)
		if !test.certificate.IsZero() {
			r.TLS = &tls.ConnectionState{PeerCertificates: []*x509.Certificate{{NotAfter: test.certificate}}}
		}
		if test.protocols != "" {
			r.Header.Set("Sec-WebSocket-Protocol", test.protocols)
		}
		Note(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			r.Header.Del("Authorization")
			if end, ok := FromContext(r.Context()).End(); ok == test.want.IsZero() || !end.At.Equal(test.want) {
				t.Errorf("%s: %+v, %v", name, end, ok)
			}
		}), "/apis/weir.dev/").ServeHTTP(httptest.NewRecorder(), r)
		Note(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			if s := FromContext(r.Context()); s != (Shown{}) {
				t.Errorf("%s: credentials of another path are kept", name)
			}
		}), "/apis/other/").ServeHTTP(httptest.NewRecorder(), r)
	}
}

// api is a client of an API with one Secret, shop/s, and a service account, shop/robot.
func api(t *testing.T) *metadatafake.FakeMetadataClient {
	t.Helper()
	scheme := metadatafake.NewTestScheme()
	utilruntime.Must(metav1.AddMetaToScheme(scheme))
	object := func(kind, name string, uid types.UID) runtime.Object {
		return &metav1.PartialObjectMetadata{
			TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: kind},
			ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name, UID: uid},
		}
	}
	return metadatafake.NewSimpleMetadataClient(scheme, object("Secret", "s", "8"), object("ServiceAccount", "robot", "7"))
}

func TestExist(t *testing.T) {
	now, client := at, api(t)
	objects := NewObjects(client, nil, nil, func() time.Time { return now })
	secret := tokens.Object{Resource: tokens.ResourceSecrets, Namespace: "shop", Name: "s", UID: "8"}
	var gone *GoneError
	for object, exists := range map[tokens.Object]bool{
		secret: true,
		{Resource: tokens.ResourceSecrets, Namespace: "shop", Name: "s", UID: "9"}:         false,
		{Resource: tokens.ResourceSecrets, Namespace: "shop", Name: "t", UID: "8"}:         false,
		{Resource: tokens.ResourceServiceAccounts, Namespace: "shop", Name: "s", UID: "8"}: false,
	} {
		for range 2 { // the second time from memory
			if err := objects.Exist(t.Context(), []tokens.Object{object}); exists && err != nil || !exists && !errors.As(err, &gone) {
				t.Errorf("%v: %v", object, err)
			}
		}
	}
	reads := len(client.Actions())
	if err := client.Tracker().Delete(corev1.SchemeGroupVersion.WithResource("secrets"), "shop", "s"); err != nil {
		t.Fatal(err)
	}
	if err := objects.Exist(t.Context(), []tokens.Object{secret}); err != nil || len(client.Actions()) != reads {
		t.Errorf("it is not remembered: %v", err)
	}
	now = now.Add(knownTTL + time.Second)
	if err := objects.Exist(t.Context(), []tokens.Object{secret}); !errors.As(err, &gone) {
		t.Errorf("deleted: %v", err)
	}
}

func TestComplete(t *testing.T) {
	robot := func(uid string) user.Info {
		return &user.DefaultInfo{Name: "system:serviceaccount:shop:robot", UID: uid}
	}
	secret := func(uid string) tokens.Object {
		return tokens.Object{Resource: tokens.ResourceSecrets, Namespace: "shop", Name: "s", UID: uid}
	}
	account := tokens.Object{Resource: tokens.ResourceServiceAccounts, Namespace: "shop", Name: "robot", UID: "7"}
	for name, test := range map[string]struct {
		user user.Info
		end  []tokens.Object
		want []tokens.Object // nil is a refusal
	}{
		"a user":                        {&user.DefaultInfo{Name: "alice"}, nil, []tokens.Object{}},
		"an account":                    {robot("7"), nil, []tokens.Object{account}},
		"an account without UID":        {robot(""), nil, []tokens.Object{account}},
		"a former account":              {robot("6"), nil, nil},
		"an account that is not there":  {&user.DefaultInfo{Name: "system:serviceaccount:shop:other"}, nil, nil},
		"bound to a Secret":             {robot("7"), []tokens.Object{secret("8")}, []tokens.Object{account, secret("8")}},
		"bound to a Secret without UID": {robot("7"), []tokens.Object{secret("")}, []tokens.Object{account, secret("8")}},
		"bound to a former Secret":      {robot("7"), []tokens.Object{secret("1")}, nil},
		"complete already":              {robot("7"), []tokens.Object{account, secret("8")}, []tokens.Object{account, secret("8")}},
	} {
		got, err := NewObjects(api(t), nil, nil, nil).Complete(t.Context(), test.user, tokens.End{At: at, Bound: test.end})
		var gone *GoneError
		if test.want == nil {
			if !errors.As(err, &gone) {
				t.Errorf("%s: %+v, %v", name, got, err)
			}
			continue
		}
		if err != nil || !got.At.Equal(at) || len(got.Bound) != len(test.want) || len(got.Bound) > 0 && !cmp.Equal(got.Bound, test.want) {
			t.Errorf("%s: %+v, %v, want %+v", name, got, err, test.want)
		}
	}
}

// The service account of another cluster has no object here, and one of that name here is not its own. Only
// the issuer decides, and an account of this cluster stays bound in all other cases.
func TestAccountsOfOtherClusters(t *testing.T) {
	const ours, theirs = "https://ours.example.com", "https://theirs.example.com"
	pod := []tokens.Object{{Resource: tokens.ResourcePods, Namespace: "shop", Name: "p", UID: "9"}}
	account := []tokens.Object{{Resource: tokens.ResourceServiceAccounts, Namespace: "shop", Name: "robot", UID: "7"}}
	for name, test := range map[string]struct {
		user    string
		uid     string
		end     tokens.End
		issuers []string
		want    tokens.End // zero is a refusal
	}{
		"unknown here":             {"other", "1", tokens.End{At: at, Issuer: theirs, Bound: pod}, []string{ours}, tokens.End{At: at, Issuer: theirs}},
		"the name is taken here":   {"robot", "1", tokens.End{At: at, Issuer: theirs}, []string{ours}, tokens.End{At: at, Issuer: theirs}},
		"of this cluster":          {"robot", "7", tokens.End{At: at, Issuer: ours}, []string{ours}, tokens.End{At: at, Bound: account}},
		"a former one, by issuer":  {"other", "1", tokens.End{At: at, Issuer: ours}, []string{"x", ours}, tokens.End{}},
		"a former one, no issuer":  {"other", "1", tokens.End{At: at}, []string{ours}, tokens.End{}},
		"without an end":           {"other", "1", tokens.End{Issuer: theirs}, []string{ours}, tokens.End{}},
		"no issuers are known":     {"other", "1", tokens.End{At: at, Issuer: theirs}, nil, tokens.End{}},
		"another UID, this issuer": {"robot", "1", tokens.End{At: at, Issuer: ours}, []string{ours}, tokens.End{}},
	} {
		u := &user.DefaultInfo{Name: "system:serviceaccount:shop:" + test.user, UID: test.uid}
		got, err := NewObjects(api(t), test.issuers, nil, nil).Complete(t.Context(), u, test.end)
		var gone *GoneError
		if refused := test.want.At.IsZero(); refused != errors.As(err, &gone) || !refused && err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// The issuer counts only if its token authenticated the user.
func TestIssuerOfARequest(t *testing.T) {
	token := jwt(`{"iss":"https://theirs.example.com","exp":1900000000}`)
	for name, test := range map[string]struct {
		impersonates string
		certificate  bool
		want         string
	}{
		"a token":                      {"", false, "https://theirs.example.com"},
		"a token beside a certificate": {"", true, ""},
		"an account is impersonated":   {"system:serviceaccount:shop:robot", false, ""},
	} {
		r := httptest.NewRequest(http.MethodPost, "/apis/weir.dev/v1alpha1/registrytokens", nil)
		r.Header.Set("Authorization", "Bearer "+token)
		if test.impersonates != "" {
			r.Header.Set("Impersonate-User", test.impersonates)
		}
		if test.certificate {
			r.TLS = &tls.ConnectionState{PeerCertificates: []*x509.Certificate{{NotAfter: at}}}
		}
		if end, ok := shownBy(r).End(); !ok || end.Issuer != test.want {
			t.Errorf("%s: %+v, %v", name, end, ok)
		}
	}
}

// What a token says that is not verified, beside a client certificate, leads to no request.
func TestObjectsOfOthersAreLeftOut(t *testing.T) {
	client := api(t)
	objects := NewObjects(client, nil, nil, time.Now)
	forged := tokens.End{At: at, Bound: []tokens.Object{
		{Resource: "secrets", Namespace: "shop", Name: "s"}, {Resource: "secrets", Namespace: "other", Name: "s"}, {Resource: "nodes", Name: "../namespaces"},
	}}
	got, err := objects.Complete(t.Context(), &user.DefaultInfo{Name: "ann"}, forged)
	if diff := cmp.Diff(tokens.End{At: at}, got); err != nil || diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	if asked := client.Actions(); len(asked) > 0 {
		t.Errorf("the API was sent %v", asked)
	}
}

func TestAnAPIThatDoesNotAnswer(t *testing.T) {
	client := api(t)
	down := errors.New("connection refused")
	client.PrependReactor("get", "*", func(clienttesting.Action) (bool, runtime.Object, error) { return true, nil, down })
	objects := NewObjects(client, nil, nil, nil)
	account := tokens.Object{Resource: tokens.ResourceServiceAccounts, Namespace: "shop", Name: "robot", UID: "7"}
	if err := objects.Exist(context.Background(), []tokens.Object{account}); !errors.Is(err, down) {
		t.Errorf("Exist: %v", err)
	}
	if _, err := objects.Complete(context.Background(), &user.DefaultInfo{Name: "system:serviceaccount:shop:robot"}, tokens.End{}); !errors.Is(err, down) {
		t.Errorf("Complete: %v", err)
	}
}
