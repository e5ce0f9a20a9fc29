package credential

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apiserver/pkg/authentication/user"
	apirequest "k8s.io/apiserver/pkg/endpoints/request"

	"weir.dev/weir/internal/auth/tokens"
)

const weirPath = "/apis/weir.dev/v1alpha1/registrytokens"

// passedOn is the user of a request that an API server passes on.
func passedOn(path, token string, u user.Info) (forwarded user.Info) {
	r := httptest.NewRequest(http.MethodPost, path, nil)
	r.Header.Set("Authorization", "Bearer "+token)
	inner := Forward(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { forwarded, _ = apirequest.UserFrom(r.Context()) }), "/apis/weir.dev/")
	outer := Note(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		inner.ServeHTTP(w, r.WithContext(apirequest.WithUser(r.Context(), u)))
	}), "/apis/weir.dev/")
	outer.ServeHTTP(httptest.NewRecorder(), r)
	return forwarded
}

// proxied is the context of a request as it arrives behind an aggregator.
func proxied(t *testing.T, headers map[string]string) (ctx context.Context) {
	t.Helper()
	r := httptest.NewRequest(http.MethodPost, weirPath, nil)
	r.Header.Set("X-Remote-User", "alice")
	for name, value := range headers {
		r.Header.Set(name, value)
	}
	Note(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { ctx = r.Context() }), "/apis/weir.dev/").ServeHTTP(httptest.NewRecorder(), r)
	return ctx
}

func TestEndPassesAnAggregator(t *testing.T) {
	alice := &user.DefaultInfo{Name: "alice", Groups: []string{"buyers"}, Extra: map[string][]string{"x": {"1"}}}
	bound := jwt(`{"iss":"https://x","exp":1900000000,"kubernetes.io":{"namespace":"shop","secret":{"name":"s","uid":"8"}}}`)
	u := passedOn(weirPath, bound, alice)
	want := tokens.End{At: at, Issuer: "https://x", Bound: []tokens.Object{{Resource: "secrets", Namespace: "shop", Name: "s", UID: "8"}}}
	end, ok := EndOfRequest(proxied(t, nil), u)
	if diff := cmp.Diff(want, end); !ok || diff != "" {
		t.Errorf("%v (-want +got):\n%s", ok, diff)
	}
	if diff := cmp.Diff(user.Info(alice), WithoutEnd(u)); diff != "" {
		t.Errorf("the user changes (-want +got):\n%s", diff)
	}
	if u := passedOn("/apis/other/", bound, alice); len(u.GetExtra()) != 1 {
		t.Errorf("the end is sent to others: %v", u.GetExtra())
	}
}

// Nothing that a client says of the end counts.
func TestEndIsNotAClients(t *testing.T) {
	forged := &user.DefaultInfo{Name: "alice", Extra: map[string][]string{endKey: {`{"at":2900000000}`}}}
	if u := passedOn(weirPath, "opaque", forged); len(u.GetExtra()) != 0 {
		t.Errorf("a client's end is passed on: %v", u.GetExtra())
	}
	if end, ok := EndOfRequest(passedOnEnd(t), forged); !ok || !end.At.Equal(at) {
		t.Errorf("the end of a token is %+v, %v", end, ok)
	}
	if end, ok := EndOfRequest(proxied(t, map[string]string{"Impersonate-User": "alice"}), forged); ok {
		t.Errorf("the end of a client that impersonates is %+v", end)
	}
	for _, value := range []string{"", "{}", "x", `{"at":-1}`, `{"at":1e18}`, `{"at":9000000000000000000}`} {
		u := &user.DefaultInfo{Name: "alice", Extra: map[string][]string{endKey: {value}}}
		if end, ok := EndOfRequest(proxied(t, nil), u); ok {
			t.Errorf("%q: %+v", value, end)
		}
	}
}

// passedOnEnd is the context of a request with a token, without an aggregator.
func passedOnEnd(t *testing.T) context.Context {
	t.Helper()
	r := httptest.NewRequest(http.MethodPost, weirPath, nil)
	r.Header.Set("Authorization", "Bearer "+jwt(`{"exp":1900000000}`))
	return NewContext(t.Context(), shownBy(r))
}
