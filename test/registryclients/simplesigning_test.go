package registryclients_test

import (
	"encoding/json"
	"regexp"
	"strings"
	"testing"

	"weir.dev/weir/internal/auth/roles"
)

// signed are signatures as the registry hands them out.
type signed struct {
	Signatures []struct {
		SchemaVersion       int
		Name, Type, Content string
	}
}

// signatures are the signatures of a digest over the registry's extension.
func (p *project) signatures(t testing.TB, path, digest string) signed {
	t.Helper()
	response, body := p.ask(t, "GET", "/extensions/v2/"+p.namespace+"/"+path+"/signatures/"+digest) //nolint:bodyclose // ask has closed it
	var s signed
	if err := json.Unmarshal(body, &s); err != nil || response.StatusCode != 200 {
		t.Fatalf("signatures of %s: %s %s", digest, response.Status, body)
	}
	return s
}

// gpgKey makes a key without a passphrase and returns its fingerprint. What belongs to
// it is exported to key.pub.
func (h *home) gpgKey(name string) string {
	h.t.Helper()
	h.run("gpg", "--batch", "--quiet", "--passphrase", "", "--quick-generate-key", name+" <"+name+"@example.com>", "ed25519", "sign", "never")
	h.t.Cleanup(func() { h.stopAgent() })
	h.write("key.pub", h.run("gpg", "--armor", "--export", name+"@example.com"))
	listed := h.run("gpg", "--batch", "--with-colons", "--list-secret-keys")
	found := regexp.MustCompile(`(?m)^fpr:+([0-9A-F]{40}):`).FindStringSubmatch(listed)
	if found == nil {
		h.t.Fatalf("gpg made no key:\n%s", listed)
	}
	return found[1]
}

// policy has clients of containers/image take only what is signed by a key.
func (h *home) policy(name, host, key string) string {
	h.t.Helper()
	document, err := json.Marshal(map[string]any{
		"default": []any{map[string]string{"type": "reject"}},
		"transports": map[string]any{"docker": map[string]any{host: []any{
			map[string]any{"type": "signedBy", "keyType": "GPGKeys", "keyPath": key, "signedIdentity": map[string]string{"type": "matchRepoDigestOrExact"}},
		}}},
	})
	if err != nil {
		h.t.Fatal(err)
	}
	return h.write(name, string(document))
}

// TestSkopeoSigns uses signatures of containers/image, which are kept by the registry
// itself: its answers say that it can.
func TestSkopeoSigns(t *testing.T) {
	p := newProject(t)
	signer := p.signer(t)
	h := newHome(t)
	h.feed(signer.token, "skopeo", "login", plain, "--username", "signer", "--password-stdin", p.host)
	key := h.gpgKey("signer")
	from := h.layout("web", image(t, "linux/amd64", "signed"))
	h.run("skopeo", skopeoCopy("--sign-by", key, from, p.docker("web:1"))...)
	m := p.pushed(t, "web", "1")
	found := p.signatures(t, "web", m.digest)
	if len(found.Signatures) != 1 {
		t.Fatalf("the image has the signatures %+v, want one", found)
	}
	if s := found.Signatures[0]; s.SchemaVersion != 2 || s.Type != "atomic" || !strings.HasPrefix(s.Name, m.digest+"@") || s.Content == "" {
		t.Errorf("the signature is %+v", s)
	}
	p.signedInAPI(t, m.digest, 1)

	h.run("skopeo", skopeoCopy(h.layout("other", image(t, "linux/amd64", "not signed")), p.docker("web:unsigned"))...)
	policy := h.policy("policy.json", p.host, h.path("key.pub"))
	h.run("skopeo", append([]string{"--policy", policy}, skopeoCopy(p.docker("web:1"), "dir:"+h.path("pulled"))...)...)
	refusals := []string{"signature"}
	h.refused(refusals, "skopeo", append([]string{"--policy", policy}, skopeoCopy("--remove-signatures", p.docker("web:unsigned"), "dir:"+h.path("refused"))...)...)
	other := newHome(t)
	other.gpgKey("other")
	strict := h.policy("strict.json", p.host, other.path("key.pub"))
	h.refused([]string{"signature", "key", "rejected"}, "skopeo", append([]string{"--policy", strict}, skopeoCopy(p.docker("web:1"), "dir:"+h.path("refused"))...)...)

	// Who may push but not sign.
	editor := skopeoHome(t, p)
	editor.gpgKey("editor")
	editor.refused(append(denied, "signature"), "skopeo", skopeoCopy("--sign-by", "editor@example.com", editor.layout("third", image(t, "linux/amd64", "third")), p.docker("web:3"))...)
}

// signer is an editor who may sign.
func (p *project) signer(t testing.TB) login {
	who := p.account(t, "signer", roles.RegistryEditor)
	p.bindCluster(t, "signer", roles.ImageSigner)
	return who
}
