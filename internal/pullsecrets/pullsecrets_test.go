package pullsecrets

import (
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func configSecret(name, content string) corev1.Secret {
	return corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: name}, Type: corev1.SecretTypeDockerConfigJson,
		Data: map[string][]byte{corev1.DockerConfigJsonKey: []byte(content)},
	}
}

// auths is a config.json whose entries' users are their keys.
func auths(keys ...string) string {
	var entries []string
	for _, k := range keys {
		entries = append(entries, fmt.Sprintf(`%q:{"username":%q,"password":"p"}`, k, k))
	}
	return `{"auths":{` + strings.Join(entries, ",") + `}}`
}

func users(creds []Credential) string {
	var names []string
	for _, c := range creds {
		names = append(names, c.Username)
	}
	return strings.Join(names, " ")
}

func TestLookup(t *testing.T) {
	tests := []struct{ keys, repo, want string }{
		{"quay.io", "quay.io/a/b", "quay.io"},
		{"quay.io", "quay.io:443/a/b", ""},
		{"quay.io:443", "quay.io:443/a/b", "quay.io:443"},
		{"quay.io quay.io/a quay.io/a/b", "quay.io/a/b", "quay.io/a/b quay.io/a quay.io"},
		{"host.test/pr", "host.test/priv/a", "host.test/pr"},
		{"host.test/priv/b", "host.test/priv/a", ""},
		{"https://quay.io/v1/ http://quay.io/v2/a quay.io/v1", "quay.io/a/b", "http://quay.io/v2/a https://quay.io/v1/ quay.io/v1"},
		{"*.example.com", "a.example.com/x/y", "*.example.com"},
		{"*.example.com", "a.b.example.com/x/y", ""},
		{"*.example.com", "example.com/x/y", ""},
		{"reg*.*.com:5000/x", "reg1.example.com:5000/x/y", "reg*.*.com:5000/x"},
		{"*.example.com a.example.com", "a.example.com/x/y", "a.example.com *.example.com"},
		{"QUAY.io/A", "quay.io/a/b", ""},
		{"QUAY.io/a", "quay.io/a/b", "QUAY.io/a"},
		{"https://index.docker.io/v1/", "docker.io/library/busybox", "https://index.docker.io/v1/"},
		{"https://index.docker.io/v1/ docker.io docker.io/team", "docker.io/team/app", "docker.io/team docker.io https://index.docker.io/v1/"},
		{"https://index.docker.io/v1/", "quay.io/team/app", ""},
	}
	for _, tt := range tests {
		creds, warnings := New([]corev1.Secret{configSecret("s", auths(strings.Fields(tt.keys)...))}, nil)
		if len(warnings) > 0 {
			t.Errorf("%s: %v", tt.keys, warnings)
		}
		host, path, _ := strings.Cut(tt.repo, "/")
		if got := users(creds.Lookup(host, path)); got != tt.want {
			t.Errorf("%s for %s: got %q, want %q", tt.keys, tt.repo, got, tt.want)
		}
	}
}

func TestSecretForms(t *testing.T) {
	b64 := base64.StdEncoding.EncodeToString
	dockercfg := corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "cfg"}, Type: corev1.SecretTypeDockercfg,
		Data: map[string][]byte{corev1.DockerConfigKey: []byte(`{"cfg.test":{"username":"u","password":"p","email":"e"}}`)},
	}
	opaque := configSecret("opaque", auths("opaque.test"))
	opaque.Type = corev1.SecretTypeOpaque
	full := configSecret("full", `{"auths":{
		"auth.test":{"auth":"`+b64([]byte("a:b:c"))+`","username":"ignored","password":"ignored"},
		"raw.test":{"auth":"`+strings.TrimRight(b64([]byte("a:bc")), "=")+`"},
		"identity.test":{"identitytoken":"i"},
		"registry.test":{"registrytoken":"r"},
		"helper.test":{}},
		"credsStore":"desktop"}`)
	creds, warnings := New([]corev1.Secret{dockercfg, opaque, full}, nil)
	if len(warnings) > 0 {
		t.Error(warnings)
	}
	for host, want := range map[string][]Credential{
		"cfg.test":      {{Username: "u", Password: "p", Origin: "secret ns/cfg"}},
		"auth.test":     {{Username: "a", Password: "b:c", Origin: "secret ns/full"}},
		"raw.test":      {{Username: "a", Password: "bc", Origin: "secret ns/full"}},
		"identity.test": {{IdentityToken: "i", Origin: "secret ns/full"}},
		"registry.test": {{RegistryToken: "r", Origin: "secret ns/full"}},
		"helper.test":   {},
		"opaque.test":   {},
	} {
		got := creds.Lookup(host, "a/b")
		if len(got) != len(want) || len(got) > 0 && got[0] != want[0] {
			t.Errorf("%s: got %d credentials: %+v", host, len(got), got)
		}
	}
}

func TestBadSecretsAreSkippedAndReported(t *testing.T) {
	const secret = "hunter2"
	bad := []corev1.Secret{
		configSecret("json", `{"auths":{"`+secret),
		configSecret("array", `["`+secret+`"]`),
		configSecret("base64", `{"auths":{"quay.io":{"auth":"!`+secret+`!"},"good.test":{"username":"u","password":"p"}}}`),
		configSecret("colon", `{"auths":{"quay.io":{"auth":"`+base64.StdEncoding.EncodeToString([]byte(secret))+`"}}}`),
		configSecret("entry", `{"auths":{"quay.io":"`+secret+`"}}`),
		configSecret("userinfo", `{"auths":{"https://u:`+secret+`@quay.io":{"username":"u"}}}`),
		configSecret("glob", `{"auths":{"[`+secret+`.io":{"username":"u"}}}`),
		{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "empty"}, Type: corev1.SecretTypeDockerConfigJson},
	}
	creds, warnings := New(append(bad, configSecret("ok", auths("ok.test"))), nil)
	var got []string
	for _, w := range warnings {
		got = append(got, w.String())
		if strings.Contains(w.String(), secret) {
			t.Errorf("a warning tells: %s", w)
		}
	}
	want := []string{
		"secret ns/json: .dockerconfigjson is not a JSON object of the expected form: skipped",
		"secret ns/array: .dockerconfigjson is not a JSON object of the expected form: skipped",
		"secret ns/base64: entry quay.io: auth is not base64: entry skipped",
		"secret ns/colon: entry quay.io: auth does not hold user:password: entry skipped",
		"secret ns/entry: entry quay.io: is not a JSON object of the expected form: entry skipped",
		"secret ns/userinfo: an entry's registry name is malformed: entry skipped",
		"secret ns/glob: an entry's registry name has a malformed glob: entry skipped",
		"secret ns/empty: it has no .dockerconfigjson: skipped",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if users(creds.Lookup("ok.test", "a")) != "ok.test" || len(creds.Lookup("good.test", "a")) != 1 {
		t.Error("a bad one took good ones with it")
	}
}

func TestSecretsWinOverNode(t *testing.T) {
	path := filepath.Join(t.TempDir(), "config.json")
	node := `{"auths":{"quay.io/team":{"username":"node","password":"p"},"quay.io":{"auth":"%%"}}}`
	if err := os.WriteFile(path, []byte(node), 0o600); err != nil {
		t.Fatal(err)
	}
	n, warnings, err := ReadNode(path)
	if err != nil || len(warnings) != 1 || warnings[0].Origin != "node file "+path {
		t.Fatalf("%v, %v", warnings, err)
	}
	creds, _ := New([]corev1.Secret{configSecret("s", auths("quay.io"))}, n)
	if got := users(creds.Lookup("quay.io", "team/app")); got != "quay.io node" {
		t.Error(got)
	}
	if n, _, err := ReadNode(path + ".absent"); err != nil || len(n.entries) != 0 {
		t.Errorf("missing file: %v", err)
	}
	os.WriteFile(path, []byte("nonsense hunter2"), 0o600)
	if _, _, err := ReadNode(path); err == nil || strings.Contains(err.Error(), "hunter2") || !strings.Contains(err.Error(), path) {
		t.Errorf("malformed file: %v", err)
	}
}

func TestLookupIsBounded(t *testing.T) {
	var keys []string
	for i := range 50 {
		keys = append(keys, "quay.io/"+strings.Repeat("a", i))
	}
	creds, _ := New([]corev1.Secret{configSecret("s", auths(keys...))}, nil)
	if got := creds.Lookup("quay.io", strings.Repeat("a", 100)); len(got) != maxMatches {
		t.Errorf("%d credentials", len(got))
	}
}

func TestCredentialDoesNotPrint(t *testing.T) {
	c := Credential{Username: "user1", Password: "hunter2", IdentityToken: "hunter3", RegistryToken: "hunter4", Origin: "secret a/b"}
	for _, verb := range []string{"%v", "%+v", "%s", "%#v", "%q"} {
		if got := fmt.Sprintf(verb, c); strings.Contains(got, "hunter") {
			t.Errorf("%s prints %s", verb, got)
		}
		if got := fmt.Sprintf(verb, []Credential{c}); strings.Contains(got, "hunter") {
			t.Errorf("%s of a slice prints %s", verb, got)
		}
	}
}
