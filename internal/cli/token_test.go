package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	weirv1alpha1 "weir.dev/weir/internal/weirapi/v1alpha1"
)

// kubeconfig writes one for a server, with a second context for another.
func kubeconfig(t *testing.T, server, other string) string {
	t.Helper()
	c := clientcmdapi.NewConfig()
	for name, url := range map[string]string{"main": server, "other": other} {
		c.Clusters[name] = &clientcmdapi.Cluster{Server: url, InsecureSkipTLSVerify: strings.HasPrefix(url, "https:")}
		c.AuthInfos[name] = &clientcmdapi.AuthInfo{Token: "token-of-" + name}
		c.Contexts[name] = &clientcmdapi.Context{Cluster: name, AuthInfo: name}
	}
	c.CurrentContext = "main"
	file := filepath.Join(t.TempDir(), "kubeconfig")
	if err := clientcmd.WriteToFile(*c, file); err != nil {
		t.Fatal(err)
	}
	return file
}

// server answers requests for passwords.
func server(t *testing.T, answer http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewTLSServer(answer) // credentials are sent over TLS only
	t.Cleanup(s.Close)
	return s.URL
}

// giving answers with who asked and for how long.
func giving(t *testing.T, who string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var asked weirv1alpha1.RegistryToken
		if r.Method != http.MethodPost || r.URL.Path != "/apis/weir.dev/v1alpha1/registrytokens" || r.Header.Get("Authorization") != "Bearer token-of-"+who {
			t.Errorf("%s %s %v", r.Method, r.URL, r.Header)
		}
		if err := json.NewDecoder(r.Body).Decode(&asked); err != nil || asked.Kind != weirv1alpha1.KindRegistryToken {
			t.Errorf("the body is %+v, %v", asked, err)
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusCreated)
		fmt.Fprintf(w, `{"apiVersion":"weir.dev/v1alpha1","kind":"RegistryToken","status":{"token":"%s-%d"}}`, who, asked.Spec.ExpirationSeconds)
	}
}

func refusing(reason *apierrors.StatusError) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		status := reason.ErrStatus
		status.Kind, status.APIVersion = "Status", "v1"
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(int(status.Code))
		_ = json.NewEncoder(w).Encode(status)
	}
}

func TestToken(t *testing.T) {
	file := kubeconfig(t, server(t, giving(t, "main")), server(t, giving(t, "other")))
	for _, test := range []struct {
		options TokenOptions
		want    string
	}{
		{TokenOptions{Kubeconfig: file, Expires: DefaultExpires}, "main-3600"},
		{TokenOptions{Kubeconfig: file, Expires: 12 * time.Hour}, "main-43200"},
		{TokenOptions{Kubeconfig: file, Context: "other", Expires: 10 * time.Minute}, "other-600"},
	} {
		if got, err := Token(context.Background(), test.options); err != nil || got != test.want {
			t.Errorf("%+v: %s, %v, want %s", test.options, got, err, test.want)
		}
	}
	t.Setenv("KUBECONFIG", file)
	if got, err := Token(context.Background(), TokenOptions{Expires: DefaultExpires}); err != nil || got != "main-3600" {
		t.Errorf("by $KUBECONFIG: %s, %v", got, err)
	}
}

func TestTokenTellsWhatIsWrong(t *testing.T) {
	resource := schema.GroupResource{Group: "weir.dev", Resource: "registrytokens"}
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	for name, test := range map[string]struct {
		server  string
		options TokenOptions
		want    string
	}{
		"too short":       {"", TokenOptions{Expires: time.Minute}, "--expires 1m0s: a password is good for 10m0s to 12h0m0s"},
		"too long":        {"", TokenOptions{Expires: 13 * time.Hour}, "--expires 13h0m0s"},
		"no such file":    {"", TokenOptions{Expires: time.Hour, Kubeconfig: "/nowhere/kubeconfig"}, "/nowhere/kubeconfig"},
		"no such context": {gone.URL, TokenOptions{Expires: time.Hour, Context: "third"}, "third"},
		"another server":  {server(t, http.NotFound), TokenOptions{Expires: time.Hour}, "it is no Weir, or an older one"},
		"not allowed":     {server(t, refusing(apierrors.NewForbidden(resource, "", nil))), TokenOptions{Expires: time.Hour}, "forbidden"},
		"not logged in":   {server(t, refusing(apierrors.NewUnauthorized("who are you"))), TokenOptions{Expires: time.Hour}, "asking http"},
		"an empty answer": {server(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			fmt.Fprint(w, `{"apiVersion":"weir.dev/v1alpha1","kind":"RegistryToken"}`)
		}), TokenOptions{Expires: time.Hour}, "without a password"},
		"nobody at home": {gone.URL, TokenOptions{Expires: time.Hour}, gone.URL},
	} {
		if test.server != "" {
			test.options.Kubeconfig = kubeconfig(t, test.server, test.server)
		}
		got, err := Token(context.Background(), test.options)
		if err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "token-of-") {
			t.Errorf("%s: %q, %v, want an error with %q", name, got, err, test.want)
		}
	}
}

func TestTokenWithoutAnyKubeconfig(t *testing.T) {
	t.Setenv("HOME", t.TempDir())
	t.Setenv("KUBECONFIG", filepath.Join(t.TempDir(), "none"))
	t.Setenv("KUBERNETES_SERVICE_HOST", "")
	os.Unsetenv("KUBERNETES_SERVICE_HOST")
	if got, err := Token(context.Background(), TokenOptions{Expires: time.Hour}); err == nil || !strings.Contains(err.Error(), "--kubeconfig") {
		t.Errorf("%q, %v", got, err)
	}
}
