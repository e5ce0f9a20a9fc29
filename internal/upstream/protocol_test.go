package upstream

import (
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	digest "github.com/opencontainers/go-digest"

	"weir.dev/weir/internal/manifest"
)

func TestParseChallenges(t *testing.T) {
	type c = challenge
	params := func(kv ...string) map[string]string {
		m := map[string]string{}
		for i := 0; i < len(kv); i += 2 {
			m[kv[i]] = kv[i+1]
		}
		return m
	}
	for in, want := range map[string][]c{
		`Basic realm="x"`: {{"basic", params("realm", "x")}},
		`Bearer realm="https://a/t?x=1,2",service="s",scope="repository:a:pull,push"`: {{"bearer", params("realm", "https://a/t?x=1,2", "service", "s", "scope", "repository:a:pull,push")}},
		`BEARER Realm=https://a/t , service = s`:                                      {{"bearer", params("realm", "https://a/t", "service", "s")}},
		`Negotiate, Basic realm="a\"b"`:                                               {{"negotiate", params()}, {"basic", params("realm", `a"b`)}},
		`Negotiate abc/d==, Bearer realm="r"`:                                         {{"negotiate", params()}, {"bearer", params("realm", "r")}},
		`Bearer realm="unclosed`:                                                      {{"bearer", params("realm", "unclosed")}},
		`Bearer realm="a",realm="b"`:                                                  {{"bearer", params("realm", "a")}},
		`realm="x"`:                                                                   nil,
		`,,,`:                                                                         nil,
		`"quoted"`:                                                                    nil,
		``:                                                                            nil,
	} {
		got := challengesIn(in)
		if diff := cmp.Diff(want, got, cmp.AllowUnexported(challenge{})); diff != "" {
			t.Errorf("%s (-want +got):\n%s", in, diff)
		}
	}
	if got := parseChallenges([]string{strings.Repeat("x", maxChallengeBytes+1), "Basic"}); len(got) != 1 {
		t.Errorf("an excessive header: %d challenges", len(got))
	}
	header := http.Header{"Www-Authenticate": {"Negotiate", `Basic realm="b"`, `Bearer realm="t"`}}
	if c, ok := pickChallenge(header); !ok || c.scheme != "bearer" {
		t.Errorf("picked %+v", c)
	}
	if _, ok := pickChallenge(http.Header{"Www-Authenticate": {"Negotiate", "Bearer"}}); ok {
		t.Error("picked one that cannot be answered")
	}
}

// signed puts one signature into a schema 1 document the way registries do.
func signed(payload string) string {
	body, tail := payload[:len(payload)-2], payload[len(payload)-2:]
	enc := base64.RawURLEncoding.EncodeToString
	protected, _ := json.Marshal(map[string]any{"formatLength": len(body), "formatTail": enc([]byte(tail))})
	return body + `,"signatures":[{"header":{},"signature":"x","protected":"` + enc(protected) + `"}]` + tail
}

func TestSignedSchema1(t *testing.T) {
	payload := "{\n   \"schemaVersion\": 1,\n   \"name\": \"a/b\"\n}"
	content := signed(payload)
	s := serve(t, v2(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", manifest.MediaTypeSchema1Signed)
		w.Header().Set("Docker-Content-Digest", digest.FromString(payload).String())
		fmt.Fprint(w, content)
	}))
	r := open(t, newTestClient(t), s.host+"/a/b")
	for _, ref := range []string{"x", digest.FromString(payload).String()} {
		m, err := r.Manifest(t.Context(), ref)
		if err != nil || string(m.Bytes) != payload || m.Digest != digest.FromString(payload) {
			t.Errorf("%s: %q, %v", ref, m.Bytes, err)
		}
	}
	// What is not covered by the digest must not get through.
	content = strings.Replace(content, `,"signatures"`, `,"name":"evil","signatures"`, 1)
	if m, err := r.Manifest(t.Context(), "x"); err == nil && strings.Contains(string(m.Bytes), "evil") {
		t.Error("unsigned content passed")
	}
	for _, bad := range []string{"", "{}", `{"signatures":[{"protected":"!"}]}`, strings.Replace(signed(payload), "{", `{"signatures":[],`, 1)} {
		if got := unsigned([]byte(bad)); string(got) != bad {
			t.Errorf("%s: became %s", bad, got)
		}
	}
}

func TestLoadCAs(t *testing.T) {
	s := serveTLS(t, v2(func(w http.ResponseWriter, r *http.Request) { w.Write(manifestOf("x")) }))
	dir := t.TempDir()
	write := func(name string, data []byte) {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("registry.crt", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}))
	write(".hidden", []byte("no certificate"))
	if err := os.Mkdir(filepath.Join(dir, "folder"), 0o700); err != nil {
		t.Fatal(err)
	}
	pool, err := LoadCAs(dir)
	if err != nil {
		t.Fatal(err)
	}
	c := newTestClient(t, func(o *Options) { o.RootCAs = pool })
	if _, err := openAs(t, c, s.host+"/a/b", false).Manifest(t.Context(), "x"); err != nil {
		t.Error(err)
	}
	write("bad.crt", []byte("no certificate"))
	if pool, err := LoadCAs(dir); err == nil || !strings.Contains(err.Error(), "bad.crt") || pool == nil {
		t.Errorf("bad file: %v", err)
	}
	if _, err := LoadCAs(filepath.Join(dir, "absent")); err == nil {
		t.Error("a missing folder passed")
	}
}

func TestInsecurePrefersTLS(t *testing.T) {
	s := serveTLS(t, v2(func(w http.ResponseWriter, r *http.Request) {
		if r.TLS == nil || r.TLS.Version < tls.VersionTLS12 {
			t.Error("not over TLS")
		}
		w.Write(manifestOf("x"))
	}))
	if _, err := open(t, newTestClient(t), s.host+"/a/b").Manifest(t.Context(), "x"); err != nil {
		t.Error(err)
	}
	plain := serve(t, v2(func(w http.ResponseWriter, r *http.Request) { w.Write(manifestOf("x")) }))
	_, err := openAs(t, newTestClient(t), plain.host+"/a/b", false).Manifest(t.Context(), "x")
	wantCode(t, err, CodeUnavailable)
	if len(plain.all()) != 0 {
		t.Error("a secure registry was spoken to over http")
	}
}
