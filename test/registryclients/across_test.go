package registryclients_test

import (
	"testing"
)

// A pushing client makes an image with a text and pushes it.
var pushers = []struct {
	name string
	push func(t *testing.T, p *project, to, text string)
}{
	{"podman", func(t *testing.T, p *project, to, text string) {
		h := podmanHome(t, p)
		h.run("podman", "build", "--network", "host", "--tag", "web", h.context("web", text))
		h.run("podman", "push", plain, "web", p.docker(to))
	}},
	{"buildah", func(t *testing.T, p *project, to, text string) {
		h := buildahHome(t, p)
		h.run("buildah", "build", "--network", "host", "--tag", "web", h.context("web", text))
		h.run("buildah", "push", plain, "--format", "v2s2", "web", p.docker(to))
	}},
	{"skopeo", func(t *testing.T, p *project, to, text string) {
		h := skopeoHome(t, p)
		h.run("skopeo", skopeoCopy("--all", h.layout("web", index(t, text)), p.docker(to))...)
	}},
	{"crane", func(t *testing.T, p *project, to, text string) {
		h := craneHome(t, p)
		h.write("web.tar", string(tape(t, rootfs(t, text))))
		h.run("crane", "append", "--new_layer", "web.tar", "--new_tag", p.ref(to))
		h.run("crane", "mutate", p.ref(to), "--tag", p.ref(to), "--set-platform", "linux/amd64", "--entrypoint", "/bin/busybox")
	}},
}

// A pulling client pulls an image and runs its program, which prints the text.
var pullers = []struct {
	name string
	pull func(t *testing.T, p *project, from, text string)
}{
	{"podman", func(t *testing.T, p *project, from, text string) {
		h := podmanHome(t, p)
		h.run("podman", "pull", plain, p.ref(from))
		execute(t, h.run("podman", "image", "mount", p.ref(from)), text)
	}},
	{"buildah", func(t *testing.T, p *project, from, text string) {
		h := buildahHome(t, p)
		h.run("buildah", "pull", plain, p.ref(from))
		h.runs(p.ref(from), text)
	}},
	{"skopeo", func(t *testing.T, p *project, from, text string) {
		h := skopeoHome(t, p)
		h.run("skopeo", skopeoCopy(p.docker(from), "oci:"+h.path("layout")+":web")...)
		h.run("umoci", "unpack", "--rootless", "--image", h.path("layout")+":web", h.path("bundle"))
		execute(t, h.path("bundle/rootfs"), text)
	}},
	{"crane", func(t *testing.T, p *project, from, text string) {
		h := craneHome(t, p)
		h.run("crane", "export", "--platform", "linux/amd64", p.ref(from), "root.tar")
		untar(t, h.path("root.tar"), h.mkdir("root"))
		execute(t, h.path("root"), text)
	}},
}

// TestWhatOnePushesAnotherRuns has every client pull what every client pushed.
func TestWhatOnePushesAnotherRuns(t *testing.T) {
	p := newProject(t)
	for _, pusher := range pushers {
		text := "pushed with " + pusher.name
		pusher.push(t, p, pusher.name+":1", text)
		p.pushed(t, pusher.name, "1")
		for _, puller := range pullers {
			t.Run(pusher.name+" to "+puller.name, func(t *testing.T) { puller.pull(t, p, pusher.name+":1", text) })
		}
	}
}
