package registryclients_test

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// skopeoHome is the home folder of somebody who has logged in with skopeo.
func skopeoHome(t testing.TB, p *project) *home {
	h := newHome(t)
	contains(t, h.feed(p.editor.token, "skopeo", "login", plain, "--username", p.editor.user, "--password-stdin", p.host), "Login Succeeded")
	return h
}

// skopeoCopy are the arguments that copy between two places.
func skopeoCopy(more ...string) []string {
	return append([]string{"copy", "--src-tls-verify=false", "--dest-tls-verify=false"}, more...)
}

func TestSkopeoCopiesInAndOut(t *testing.T) {
	p := newProject(t)
	h := skopeoHome(t, p)
	h.run("skopeo", skopeoCopy(h.layout("web", image(t, "linux/amd64", "in and out")), p.docker("web:1"))...)
	m := p.pushed(t, "web", "1")

	var inspected struct {
		Name, Digest, Architecture string
		RepoTags, Layers           []string
	}
	if err := json.Unmarshal([]byte(h.run("skopeo", "inspect", plain, p.docker("web:1"))), &inspected); err != nil {
		t.Fatal(err)
	}
	if inspected.Name != p.ref("web") || inspected.Digest != m.digest || inspected.Architecture != "amd64" || !cmp.Equal(inspected.RepoTags, []string{"1"}) || len(inspected.Layers) != len(m.Layers) {
		t.Errorf("inspected %+v, pushed %+v", inspected, m)
	}
	contains(t, h.run("skopeo", "inspect", plain, "--config", p.docker("web:1")), "/bin/busybox")
	contains(t, h.run("skopeo", "inspect", plain, "--raw", p.docker("web@"+m.digest)), m.Config.Digest.String())

	for _, format := range []string{"dir:", "oci-archive:", "docker-archive:"} {
		name := strings.Trim(format, ":")
		h.run("skopeo", skopeoCopy(p.docker("web:1"), format+h.path(name))...)
		h.run("skopeo", skopeoCopy(format+h.path(name), p.docker("again:"+name))...)
		if got := p.pushed(t, "again", name); format != "docker-archive:" && got.digest != m.digest {
			t.Errorf("through %s came %s, want %s", format, got.digest, m.digest)
		}
	}
	h.run("skopeo", skopeoCopy(p.docker("again:docker-archive"), "oci:"+h.path("unpacked")+":1")...)
	h.run("umoci", "unpack", "--rootless", "--image", h.path("unpacked")+":1", h.path("bundle"))
	execute(t, h.path("bundle/rootfs"), "in and out")
}

func TestSkopeoListsAndDeletes(t *testing.T) {
	p := newProject(t)
	h := skopeoHome(t, p)
	one, two := h.layout("one", image(t, "linux/amd64", "one")), h.layout("two", image(t, "linux/amd64", "two"))
	for tag, from := range map[string]string{"1": one, "1.0": one, "2": two} {
		h.run("skopeo", skopeoCopy(from, p.docker("web:"+tag))...)
	}
	var list struct{ Tags []string }
	if err := json.Unmarshal([]byte(h.run("skopeo", "list-tags", plain, p.docker("web"))), &list); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"1", "1.0", "2"}, list.Tags); diff != "" {
		t.Errorf("tags (-want +got):\n%s", diff)
	}

	// What skopeo deletes is the digest that the tag leads to.
	deleted := p.pushed(t, "web", "1")
	h.run("skopeo", "delete", plain, p.docker("web:1.0"))
	p.tags(t, "web", "2")
	p.gone(t, "web", "1")
	p.gone(t, "web", deleted.digest)
	p.history(t, "web", "1")
	h.refused([]string{"unknown", "404"}, "skopeo", "inspect", plain, p.docker("web:1"))
	p.pushed(t, "web", "2")
}

func TestSkopeoCopiesForAllPlatforms(t *testing.T) {
	p := newProject(t)
	h := skopeoHome(t, p)
	h.run("skopeo", skopeoCopy("--all", h.layout("both", index(t, "both")), p.docker("web:both"))...)
	m := p.pushed(t, "web", "both")
	for _, child := range m.Manifests {
		p.recorded(t, p.manifest(t, "web", child.Digest.String()))
	}

	// Within the registry nothing is sent twice: blobs are mounted.
	h.run("skopeo", skopeoCopy("--all", "--preserve-digests", p.docker("web:both"), p.docker("copy:both"))...)
	if got := p.pushed(t, "copy", "both"); got.digest != m.digest {
		t.Errorf("the copy is %s, want %s", got.digest, m.digest)
	}
	h.run("skopeo", skopeoCopy("--multi-arch", "system", "--override-arch", "arm64", p.docker("web:both"), p.docker("web:arm64"))...)
	if got := p.pushed(t, "web", "arm64"); got.digest != m.Manifests[1].Digest.String() {
		t.Errorf("the image for arm64 is %s, want %s", got.digest, m.Manifests[1].Digest)
	}
	// An index alone, whose images are nowhere in that repository.
	h.run("skopeo", skopeoCopy("--multi-arch", "index-only", p.docker("web:both"), p.docker("sparse:both"))...)
	p.pushed(t, "sparse", "both")
}

func TestSkopeoSynchronizes(t *testing.T) {
	p := newProject(t)
	h := skopeoHome(t, p)
	h.run("skopeo", skopeoCopy("--all", h.layout("both", index(t, "both")), p.docker("web:1"))...)
	h.run("skopeo", skopeoCopy(h.layout("two", image(t, "linux/amd64", "two")), p.docker("web:2"))...)

	h.run("skopeo", "sync", "--all", "--scoped", "--src", "docker", "--dest", "dir", "--src-tls-verify=false", p.ref("web"), h.path("mirror"))
	h.run("skopeo", "sync", "--all", "--src", "dir", "--dest", "docker", "--dest-tls-verify=false", filepath.Join(h.path("mirror"), p.host, p.namespace), p.ref("synced"))
	p.tags(t, "synced/web", "1", "2")
	for _, tag := range []string{"1", "2"} {
		if got, want := p.pushed(t, "synced/web", tag), p.pushed(t, "web", tag); got.digest != want.digest {
			t.Errorf("tag %s was synchronized as %s, want %s", tag, got.digest, want.digest)
		}
	}
}

func TestSkopeoCopiesZstandardLayers(t *testing.T) {
	p := newProject(t)
	h := skopeoHome(t, p)
	h.run("skopeo", skopeoCopy(h.layout("web", image(t, "linux/amd64", "zstd")), "docker-archive:"+h.path("web.tar"))...)
	h.run("skopeo", skopeoCopy("--format", "oci", "--dest-compress-format", "zstd", "docker-archive:"+h.path("web.tar"), p.docker("web:zstd"))...)
	m := p.pushed(t, "web", "zstd")
	for _, layer := range m.Layers {
		if !strings.HasSuffix(layer.MediaType, "+zstd") {
			t.Errorf("a layer is of type %s", layer.MediaType)
		}
	}
	h.run("skopeo", skopeoCopy("--dest-decompress", p.docker("web:zstd"), "dir:"+h.path("back"))...)
	var back manifest
	if err := json.Unmarshal([]byte(h.read("back/manifest.json")), &back); err != nil {
		t.Fatal(err)
	}
	untar(t, h.path("back/"+back.Layers[0].Digest.Encoded()), h.mkdir("root"))
	execute(t, h.path("root"), "zstd")
}

func TestSkopeoIsLetInByRights(t *testing.T) {
	p := newProject(t)
	h := skopeoHome(t, p)
	from := h.layout("web", image(t, "linux/amd64", "public"))
	h.run("skopeo", skopeoCopy(from, p.docker("web:1"))...)

	nobody := newHome(t)
	nobody.refused(denied, "skopeo", "inspect", plain, p.docker("web:1"))
	nobody.refusedLogin("skopeo", "login", plain, "--username", "editor", "--password-stdin", p.host)
	puller := p.account(t, "puller", "system:image-puller")
	nobody.run("skopeo", "inspect", plain, "--creds", "any:"+puller.token, p.docker("web:1"))
	nobody.refused(denied, "skopeo", skopeoCopy("--dest-creds", "any:"+puller.token, from, p.docker("web:2"))...)
	nobody.refused(denied, "skopeo", "delete", plain, "--creds", "any:"+puller.token, p.docker("web:1"))
	// The token of the API itself, without any exchange.
	nobody.run("skopeo", "inspect", plain, "--registry-token", puller.token, p.docker("web:1"))

	p.letEverybodyPull(t)
	nobody.eventually("skopeo", "inspect", plain, p.docker("web:1"))
	nobody.run("skopeo", skopeoCopy(p.docker("web:1"), "dir:"+nobody.path("web"))...)
	nobody.refused(denied, "skopeo", "delete", plain, p.docker("web:1"))
	p.tags(t, "web", "1")
}
