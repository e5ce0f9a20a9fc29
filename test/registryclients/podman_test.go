package registryclients_test

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"
)

// plain tells podman, buildah and skopeo that the registry speaks HTTP.
const plain = "--tls-verify=false"

// denied are words of clients that were not let in.
var denied = []string{"unauthorized", "denied", "401", "403", "authentication required"}

// podmanHome is the home folder of somebody who has logged in with podman.
func podmanHome(t testing.TB, p *project) *home {
	h := newHome(t)
	contains(t, h.feed(p.editor.token, "podman", "login", plain, "--username", p.editor.user, "--password-stdin", p.host), "Login Succeeded")
	return h
}

func TestPodmanPushesAndPulls(t *testing.T) {
	p := newProject(t)
	h := podmanHome(t, p)
	h.run("podman", "build", "--network", "host", "--tag", p.ref("web:1"), h.context("one", "one"))
	h.run("podman", "push", plain, "--digestfile", h.path("digest"), p.ref("web:1"))
	first := p.pushed(t, "web", "1")
	if got := h.read("digest"); got != first.digest {
		t.Errorf("podman pushed %s, the tag leads to %s", got, first.digest)
	}

	h.run("podman", "build", "--network", "host", "--tag", p.ref("web:1"), h.context("two", "two"))
	h.run("podman", "push", plain, p.ref("web:1"), p.docker("web:1"))
	h.run("podman", "push", plain, p.ref("web:1"), p.docker("web:2"))
	second := p.pushed(t, "web", "1")
	p.history(t, "web", "1", second.digest, first.digest)
	p.history(t, "web", "2", second.digest)
	p.tags(t, "web", "1", "2")

	elsewhere := podmanHome(t, p)
	elsewhere.run("podman", "pull", plain, p.ref("web:1"))
	if got := elsewhere.run("podman", "image", "inspect", "--format", "{{.Digest}}", p.ref("web:1")); got != second.digest {
		t.Errorf("podman pulled %s, want %s", got, second.digest)
	}
	execute(t, elsewhere.run("podman", "image", "mount", p.ref("web:1")), "two")
	elsewhere.run("podman", "pull", plain, p.ref("web@"+first.digest))
	execute(t, elsewhere.run("podman", "image", "mount", p.ref("web@"+first.digest)), "one")
}

func TestPodmanSearches(t *testing.T) {
	p := newProject(t)
	h := podmanHome(t, p)
	h.run("podman", "build", "--network", "host", "--tag", "web", h.context("web", "web"))
	for _, to := range []string{"web:1", "web:2", "shop:1"} {
		h.run("podman", "push", plain, "web", p.docker(to))
	}
	lines(t, h.run("podman", "search", plain, "--list-tags", p.ref("web")), "NAME", "TAG", p.ref("web"), "1", p.ref("web"), "2")
	lines(t, h.run("podman", "search", plain, "--limit", "1000", "--format", "{{.Name}}", p.host+"/"+p.namespace), p.ref("shop"), p.ref("web"))
}

func TestPodmanPushesImagesForSeveralPlatforms(t *testing.T) {
	p := newProject(t)
	h := podmanHome(t, p)
	folder := h.context("web", "both")
	for _, platform := range platforms {
		h.run("podman", "build", "--network", "host", "--no-cache", "--platform", platform, "--manifest", "both", folder)
	}
	h.run("podman", "manifest", "push", plain, "--all", "both", p.docker("web:both"))
	m := p.pushed(t, "web", "both")
	if len(m.Manifests) != len(platforms) {
		t.Fatalf("the index has %d manifests, want %d", len(m.Manifests), len(platforms))
	}
	for _, child := range m.Manifests {
		p.recorded(t, p.manifest(t, "web", child.Digest.String()))
	}
	elsewhere := podmanHome(t, p)
	for _, platform := range platforms {
		elsewhere.run("podman", "pull", plain, "--platform", platform, p.ref("web:both"))
		var inspected []struct{ Architecture string }
		if err := json.Unmarshal([]byte(elsewhere.run("podman", "image", "inspect", p.ref("web:both"))), &inspected); err != nil {
			t.Fatal(err)
		}
		if want := filepath.Base(platform); inspected[0].Architecture != want {
			t.Errorf("podman pulled an image for %s, want %s", inspected[0].Architecture, want)
		}
	}
}

func TestPodmanPushesZstandardLayers(t *testing.T) {
	p := newProject(t)
	h := podmanHome(t, p)
	h.run("podman", "build", "--network", "host", "--tag", "web", h.context("web", "zstd"))
	h.run("podman", "push", plain, "--compression-format", "zstd", "web", p.docker("web:zstd"))
	m := p.pushed(t, "web", "zstd")
	for _, layer := range m.Layers {
		if !strings.HasSuffix(layer.MediaType, "+zstd") {
			t.Errorf("a layer is of type %s", layer.MediaType)
		}
	}
	elsewhere := podmanHome(t, p)
	elsewhere.run("podman", "pull", plain, p.ref("web:zstd"))
	execute(t, elsewhere.run("podman", "image", "mount", p.ref("web:zstd")), "zstd")
}

func TestPodmanSavesAndLoads(t *testing.T) {
	p := newProject(t)
	h := podmanHome(t, p)
	h.run("podman", "build", "--network", "host", "--tag", p.ref("web:1"), h.context("web", "saved"))
	h.run("podman", "push", plain, "--format", "v2s2", p.ref("web:1"))
	if m := p.pushed(t, "web", "1"); m.mediaType != "application/vnd.docker.distribution.manifest.v2+json" {
		t.Errorf("pushed with --format v2s2, the manifest is of type %s", m.mediaType)
	}
	elsewhere := podmanHome(t, p)
	elsewhere.run("podman", "pull", plain, p.ref("web:1"))
	elsewhere.run("podman", "save", "--format", "docker-archive", "--output", elsewhere.path("web.tar"), p.ref("web:1"))
	elsewhere.run("podman", "rmi", p.ref("web:1"))
	elsewhere.run("podman", "load", "--input", elsewhere.path("web.tar"))
	elsewhere.run("podman", "push", plain, p.ref("web:1"), p.docker("loaded:1"))
	p.pushed(t, "loaded", "1")
}

func TestPodmanIsLetInByRights(t *testing.T) {
	p := newProject(t)
	h := podmanHome(t, p)
	h.run("podman", "build", "--network", "host", "--tag", p.ref("web:1"), h.context("web", "public"))
	h.run("podman", "push", plain, p.ref("web:1"))

	nobody := newHome(t)
	nobody.refused(denied, "podman", "pull", plain, p.ref("web:1"))
	stranger := newHome(t)
	who := p.account(t, "stranger", "")
	stranger.feed(who.token, "podman", "login", plain, "--username", "stranger", "--password-stdin", p.host)
	stranger.refused(denied, "podman", "pull", plain, p.ref("web:1"))
	newHome(t).refusedLogin("podman", "login", plain, "--username", "editor", "--password-stdin", p.host)

	p.letEverybodyPull(t)
	nobody.eventually("podman", "pull", plain, p.ref("web:1"))
	execute(t, nobody.run("podman", "image", "mount", p.ref("web:1")), "public")
	nobody.refused(denied, "podman", "push", plain, p.ref("web:1"), p.docker("web:2"))
	p.tags(t, "web", "1")

	h.run("podman", "logout", p.host)
	h.refused(denied, "podman", "push", plain, p.ref("web:1"), p.docker("web:2"))
}
