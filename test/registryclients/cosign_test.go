package registryclients_test

import (
	"encoding/json"
	"net/url"
	"slices"
	"strings"
	"testing"
)

// cosignHome is the home folder of somebody who has logged in with cosign and has a
// pair of keys, and files that say there is no service to tell of signatures.
func cosignHome(t testing.TB, p *project) *home {
	h := newHome(t)
	h.feed(p.editor.token, "cosign", "login", p.host, "--username", p.editor.user, "--password-stdin")
	h.run("cosign", "generate-key-pair")
	h.run("cosign", "signing-config", "create", "--out", "services.json")
	h.run("cosign", "trusted-root", "create", "--out", "root.json")
	return h
}

// bundled are the arguments for signatures as cosign makes them by itself: a bundle,
// in an artifact whose subject is what was signed.
func bundled(command string, more ...string) []string {
	return append([]string{command, "--allow-http-registry", "--key", "cosign.key", "--signing-config", "services.json", "--trusted-root", "root.json"}, more...)
}

// tagged are the arguments for signatures as cosign made them before: in an image whose
// tag is made of the digest that was signed.
func tagged(command string, more ...string) []string {
	return append([]string{command, "--allow-http-registry", "--key", "cosign.key", "--use-signing-config=false", "--tlog-upload=false", "--new-bundle-format=false"}, more...)
}

// checked are the arguments for the commands that verify.
func checked(command string, more ...string) []string {
	return append([]string{command, "--allow-http-registry", "--key", "cosign.pub", "--insecure-ignore-tlog"}, more...)
}

// toSign pushes an image for several platforms.
func (h *home) toSign(p *project, path, tag string) manifest {
	h.t.Helper()
	h.run("skopeo", skopeoCopy("--all", h.layout(tag, index(h.t, path+tag)), "--dest-creds", p.editor.user+":"+p.editor.token, p.docker(path+":"+tag))...)
	return p.pushed(h.t, path, tag)
}

// referrers are the artifacts whose subject is a digest.
func (p *project) referrers(t testing.TB, path, subject, artifactType string) []manifest {
	t.Helper()
	_, body := p.ask(t, "GET", "/v2/"+p.namespace+"/"+path+"/referrers/"+subject+"?artifactType="+url.QueryEscape(artifactType)) //nolint:bodyclose // ask has closed it
	var list manifest
	if err := json.Unmarshal(body, &list); err != nil {
		t.Fatalf("referrers of %s: %v: %s", subject, err, body)
	}
	var all []manifest
	for _, d := range list.Manifests {
		if artifactType != "" && d.ArtifactType != artifactType {
			t.Errorf("asked for %s, a referrer is of type %s", artifactType, d.ArtifactType)
		}
		m := p.manifest(t, path, d.Digest.String())
		if m.Subject == nil || m.Subject.Digest.String() != subject {
			t.Errorf("the referrer %s has the subject %+v", d.Digest, m.Subject)
		}
		p.referrer(t, subject, m)
		all = append(all, m)
	}
	return all
}

const bundleType = "application/vnd.dev.sigstore.bundle.v0.3+json"

func TestCosignSignsWithReferrers(t *testing.T) {
	p := newProject(t)
	h := cosignHome(t, p)
	m := h.toSign(p, "web", "1")
	h.run("cosign", bundled("sign", "--recursive", p.ref("web@"+m.digest))...)
	for _, d := range []string{m.digest, m.Manifests[0].Digest.String(), m.Manifests[1].Digest.String()} {
		if found := p.referrers(t, "web", d, bundleType); len(found) != 1 {
			t.Errorf("%s has %d signatures, want 1", d, len(found))
		}
		h.run("cosign", checked("verify", p.ref("web@"+d))...)
	}
	p.tags(t, "web", "1") // and no tags in the place of referrers
	h.run("cosign", checked("verify", p.ref("web:1"))...)
	contains(t, h.run("cosign", "tree", "--allow-http-registry", p.ref("web@"+m.digest)), "cosign/sign/v1", "OCI referrer")

	h.write("predicate.json", `{"by":"a test"}`)
	h.run("cosign", bundled("attest", "--type", "custom", "--predicate", "predicate.json", p.ref("web@"+m.digest))...)
	contains(t, h.run("cosign", checked("verify-attestation", "--type", "custom", p.ref("web@"+m.digest))...), "payload")
	if found := p.referrers(t, "web", m.digest, ""); len(found) != 2 {
		t.Errorf("%s has %d referrers, want 2", m.digest, len(found))
	}

	other := cosignHome(t, p)
	other.refused([]string{"no matching", "invalid signature", "failed to verify", "no signatures"}, "cosign", checked("verify", p.ref("web@"+m.digest))...)
}

func TestCosignSignsWithTags(t *testing.T) {
	p := newProject(t)
	h := cosignHome(t, p)
	m := h.toSign(p, "team/web", "1")
	h.run("cosign", tagged("sign", "--annotations", "by=test", p.ref("team/web@"+m.digest))...)
	tag := strings.Replace(m.digest, ":", "-", 1)
	p.tags(t, "team/web", "1", tag+".sig")
	p.pushed(t, "team/web", tag+".sig")
	h.run("cosign", checked("verify", "--new-bundle-format=false", "--annotations", "by=test", p.ref("team/web:1"))...)
	contains(t, h.run("cosign", "download", "signature", "--allow-http-registry", p.ref("team/web@"+m.digest)), "Base64Signature")

	h.write("predicate.json", `{"by":"a test"}`)
	h.run("cosign", tagged("attest", "--type", "custom", "--predicate", "predicate.json", p.ref("team/web@"+m.digest))...)
	h.run("cosign", checked("verify-attestation", "--new-bundle-format=false", "--type", "custom", p.ref("team/web@"+m.digest))...)
	p.tags(t, "team/web", "1", tag+".att", tag+".sig")
	contains(t, h.run("cosign", "tree", "--allow-http-registry", p.ref("team/web@"+m.digest)), tag+".sig", tag+".att")

	// Signed again, the tag leads to both signatures and remembers the first.
	first := p.manifest(t, "team/web", tag+".sig")
	h.run("cosign", tagged("sign", "--annotations", "by=another", p.ref("team/web@"+m.digest))...)
	second := p.pushed(t, "team/web", tag+".sig")
	if len(second.Layers) != 2 {
		t.Errorf("the signatures' image has %d layers, want 2", len(second.Layers))
	}
	p.history(t, "team/web", tag+".sig", second.digest, first.digest)
}

// TestCosignSignsWithSubjects uses signatures of the former form in artifacts whose
// subject is what was signed.
func TestCosignSignsWithSubjects(t *testing.T) {
	p := newProject(t)
	h := cosignHome(t, p)
	m := h.toSign(p, "web", "1")
	experimental := h.with("COSIGN_EXPERIMENTAL", "1")
	experimental.run("cosign", tagged("sign", "--registry-referrers-mode", "oci-1-1", p.ref("web@"+m.digest))...)
	if found := p.referrers(t, "web", m.digest, "application/vnd.dev.cosign.artifact.sig.v1+json"); len(found) != 1 {
		t.Errorf("%d signatures refer to %s, want 1", len(found), m.digest)
	}
	p.tags(t, "web", "1")
	experimental.run("cosign", checked("verify", "--new-bundle-format=false", "--experimental-oci11", p.ref("web@"+m.digest))...)
}

func TestCosignSavesAndLoads(t *testing.T) {
	p := newProject(t)
	h := cosignHome(t, p)
	m := h.toSign(p, "web", "1")
	h.run("cosign", tagged("sign", p.ref("web@"+m.digest))...)
	h.run("cosign", "save", "--allow-http-registry", "--dir", "saved", p.ref("web:1"))
	h.run("cosign", "load", "--allow-http-registry", "--dir", "saved", p.ref("loaded:1"))
	if got := p.pushed(t, "loaded", "1"); got.digest != m.digest {
		t.Errorf("loaded %s, saved %s", got.digest, m.digest)
	}
	h.run("cosign", checked("verify", "--new-bundle-format=false", p.ref("loaded:1"))...)

	// Removing signatures leaves the image.
	h.run("cosign", "clean", "--allow-http-registry", "--type", "all", "--force", p.ref("loaded:1"))
	p.tags(t, "loaded", "1")
}

func TestCosignIsLetInByRights(t *testing.T) {
	p := newProject(t)
	h := cosignHome(t, p)
	m := h.toSign(p, "web", "1")
	h.run("cosign", bundled("sign", p.ref("web@"+m.digest))...)

	nobody := newHome(t)
	nobody.write("cosign.pub", h.read("cosign.pub"))
	for _, file := range []string{"cosign.key", "services.json", "root.json"} {
		nobody.write(file, h.read(file))
	}
	nobody.refused(denied, "cosign", checked("verify", p.ref("web@"+m.digest))...)
	p.letEverybodyPull(t)
	nobody.eventually("cosign", checked("verify", p.ref("web@"+m.digest))...)
	nobody.refused(denied, "cosign", bundled("sign", p.ref("web@"+m.digest))...)
	if found := p.referrers(t, "web", m.digest, ""); len(found) != 1 || !slices.ContainsFunc(found, func(f manifest) bool { return f.ArtifactType == bundleType || f.Config.MediaType == bundleType }) {
		t.Errorf("%s has the referrers %+v, want one signature", m.digest, found)
	}
}
