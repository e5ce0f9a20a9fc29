package registryclients_test

import (
	"testing"
)

// buildahHome is the home folder of somebody who has logged in with buildah.
func buildahHome(t testing.TB, p *project) *home {
	h := newHome(t)
	contains(t, h.feed(p.editor.token, "buildah", "login", plain, "--username", p.editor.user, "--password-stdin", p.host), "Login Succeeded")
	return h
}

// runs expects the program of an image that buildah has to print a text, run in a
// container as far as one can be had without namespaces.
func (h *home) runs(image, text string) {
	h.t.Helper()
	container := h.run("buildah", "from", "--pull-never", image)
	if got := h.run("buildah", "run", "--network", "host", container, "--", "/bin/busybox", "cat", "/text"); got != text {
		h.t.Errorf("the program of %s printed %q, want %q", image, got, text)
	}
	h.run("buildah", "rm", container)
}

func TestBuildahBuildsPushesAndRuns(t *testing.T) {
	p := newProject(t)
	h := buildahHome(t, p)
	h.run("buildah", "build", "--network", "host", "--tag", p.ref("base:1"), h.context("base", "base"))
	h.run("buildah", "push", plain, "--digestfile", h.path("digest"), p.ref("base:1"))
	base := p.pushed(t, "base", "1")
	if got := h.read("digest"); got != base.digest {
		t.Errorf("buildah pushed %s, the tag leads to %s", got, base.digest)
	}

	// An image upon one of the registry's: its layers are there already.
	elsewhere := buildahHome(t, p)
	container := elsewhere.run("buildah", "from", plain, p.ref("base:1"))
	elsewhere.run("buildah", "run", "--network", "host", container, "--", "/bin/busybox", "sh", "-c", "echo -n derived > /text")
	elsewhere.run("buildah", "commit", container, p.ref("web:1"))
	elsewhere.run("buildah", "push", plain, p.ref("web:1"))
	derived := p.pushed(t, "web", "1")
	if len(derived.Layers) != len(base.Layers)+1 || derived.Layers[0].Digest != base.Layers[0].Digest {
		t.Errorf("the derived image's layers are %v, the base's %v", derived.Layers, base.Layers)
	}

	third := buildahHome(t, p)
	third.run("buildah", "pull", plain, p.ref("web:1"))
	third.runs(p.ref("web:1"), "derived")
	contains(t, third.run("buildah", "inspect", "--type", "image", "--format", "{{.FromImageDigest}}", p.ref("web:1")), derived.digest)
}

func TestBuildahAssemblesAList(t *testing.T) {
	p := newProject(t)
	h := buildahHome(t, p)
	for _, platform := range platforms {
		tag := "web:" + platform[len("linux/"):]
		h.run("buildah", "build", "--network", "host", "--platform", platform, "--tag", p.ref(tag), h.context("web", tag))
		h.run("buildah", "push", plain, p.ref(tag))
	}
	h.run("buildah", "manifest", "create", "list")
	for _, tag := range []string{"amd64", "arm64"} {
		h.run("buildah", "manifest", "add", plain, "list", p.docker("web:"+tag))
	}
	h.run("buildah", "manifest", "push", plain, "--all", "--format", "v2s2", "list", p.docker("web:1"))
	m := p.pushed(t, "web", "1")
	if m.mediaType != "application/vnd.docker.distribution.manifest.list.v2+json" || len(m.Manifests) != len(platforms) {
		t.Errorf("pushed a list as %s with %d manifests", m.mediaType, len(m.Manifests))
	}
	p.tags(t, "web", "1", "amd64", "arm64")

	elsewhere := buildahHome(t, p)
	elsewhere.run("buildah", "pull", plain, "--platform", "linux/amd64", p.ref("web:1"))
	elsewhere.runs(p.ref("web:1"), "web:amd64")
}

// TestBuildahCachesLayers: with --cache-from, buildah asks for tags of a repository that
// may not exist yet, and fails over an answer other than 404.
func TestBuildahCachesLayers(t *testing.T) {
	p := newProject(t)
	h := buildahHome(t, p)
	folder := h.context("web", "cached")
	build := []string{"build", plain, "--network", "host", "--layers", "--cache-to", p.ref("cache"), "--cache-from", p.ref("cache"), "--tag", "web"}
	h.run("buildah", append(build, folder)...)
	elsewhere := buildahHome(t, p)
	contains(t, elsewhere.run("buildah", append(build, elsewhere.context("web", "cached"))...), "Cache pulled")
	elsewhere.runs("localhost/web", "cached")
}

func TestBuildahIsLetInByRights(t *testing.T) {
	p := newProject(t)
	h := buildahHome(t, p)
	h.run("buildah", "build", "--network", "host", "--tag", p.ref("web:1"), h.context("web", "public"))
	h.run("buildah", "push", plain, p.ref("web:1"))

	nobody := newHome(t)
	nobody.refused(denied, "buildah", "pull", plain, p.ref("web:1"))
	nobody.refusedLogin("buildah", "login", plain, "--username", "editor", "--password-stdin", p.host)
	p.letEverybodyPull(t)
	nobody.eventually("buildah", "pull", plain, p.ref("web:1"))
	nobody.runs(p.ref("web:1"), "public")
	nobody.refused(denied, "buildah", "push", plain, p.ref("web:1"), p.docker("web:2"))
	p.tags(t, "web", "1")
}
