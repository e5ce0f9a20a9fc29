package registryclients_test

import (
	"encoding/json"
	"fmt"
	"testing"
)

// craneHome is the home folder of somebody who has logged in with crane.
func craneHome(t testing.TB, p *project) *home {
	h := newHome(t)
	h.feed(p.editor.token, "crane", "auth", "login", p.host, "--username", p.editor.user, "--password-stdin")
	return h
}

func TestCraneMakesAndChangesImages(t *testing.T) {
	p := newProject(t)
	h := craneHome(t, p)
	h.write("web.tar", string(tape(t, rootfs(t, "crane"))))
	h.run("crane", "append", "--oci-empty-base", "--new_layer", "web.tar", "--new_tag", p.ref("web:1"))
	first := p.pushed(t, "web", "1")
	if got := h.run("crane", "digest", p.ref("web:1")); got != first.digest {
		t.Errorf("crane says %s, the tag leads to %s", got, first.digest)
	}

	h.run("crane", "mutate", p.ref("web:1"), "--tag", p.ref("web:1"), "--set-platform", "linux/amd64", "--entrypoint", "/bin/busybox,cat,/text", "--label", "made=here")
	second := p.pushed(t, "web", "1")
	p.history(t, "web", "1", second.digest, first.digest)
	contains(t, h.run("crane", "config", p.ref("web:1")), `"made":"here"`)
	var got manifest
	if err := json.Unmarshal([]byte(h.run("crane", "manifest", p.ref("web@"+first.digest))), &got); err != nil || got.Config.Digest != first.Config.Digest {
		t.Errorf("the first image is read as %+v (%v)", got, err)
	}

	h.run("crane", "tag", p.ref("web:1"), "stable")
	p.history(t, "web", "stable", second.digest)
	lines(t, h.run("crane", "ls", p.ref("web")), "1", "stable")
	contains(t, h.run("crane", "validate", "--remote", p.ref("web:stable")), "PASS")
	if blob := h.run("crane", "blob", p.ref("web@"+second.Config.Digest.String())); int64(len(blob)) != second.Config.Size {
		t.Errorf("a configuration of %d bytes was read, want %d", len(blob), second.Config.Size)
	}
	h.run("crane", "export", p.ref("web:stable"), "root.tar")
	untar(t, h.path("root.tar"), h.mkdir("root"))
	execute(t, h.path("root"), "crane")
}

func TestCraneMakesAnIndex(t *testing.T) {
	p := newProject(t)
	h := craneHome(t, p)
	h.write("web.tar", string(tape(t, rootfs(t, "crane"))))
	h.run("crane", "append", "--oci-empty-base", "--new_layer", "web.tar", "--new_tag", p.ref("web:base"))
	args := []string{"index", "append", "--tag", p.ref("web:both")}
	for _, platform := range platforms {
		tag := p.ref("web:" + platform[len("linux/"):])
		h.run("crane", "mutate", p.ref("web:base"), "--tag", tag, "--set-platform", platform)
		args = append(args, "--manifest", tag)
	}
	h.run("crane", args...)
	m := p.pushed(t, "web", "both")
	if len(m.Manifests) != len(platforms) {
		t.Fatalf("the index has %d manifests", len(m.Manifests))
	}
	for i, platform := range platforms {
		if got := h.run("crane", "digest", "--platform", platform, p.ref("web:both")); got != m.Manifests[i].Digest.String() {
			t.Errorf("%s is %s, want %s", platform, got, m.Manifests[i].Digest)
		}
	}
	contains(t, h.run("crane", "validate", "--remote", p.ref("web:both")), "PASS")

	// An index of an index, as its reference is kept.
	h.run("crane", "index", "append", "--flatten=false", "--manifest", p.ref("web:both"), "--tag", p.ref("web:nested"))
	if nested := p.manifest(t, "web", "nested"); len(nested.Manifests) != 1 || nested.Manifests[0].Digest.String() != m.digest {
		t.Errorf("the nested index is %+v", nested)
	}
	h.run("crane", "pull", "--format", "oci", p.ref("web:both"), "layout")
	h.run("crane", "push", "--index", "layout", p.ref("again:both"))
	p.pushed(t, "again", "both")
}

func TestCraneCopiesListsAndDeletes(t *testing.T) {
	p := newProject(t)
	h := craneHome(t, p)
	h.write("web.tar", string(tape(t, rootfs(t, "crane"))))
	h.run("crane", "append", "--new_layer", "web.tar", "--new_tag", p.ref("web:1"))
	h.run("crane", "mutate", p.ref("web:1"), "--tag", p.ref("web:2"), "--label", "version=2")

	_, said, err := h.try("", "crane", "copy", p.ref("web:1"), p.ref("copy:1"))
	if err != nil {
		t.Fatalf("copying: %v\n%s", err, said)
	}
	contains(t, said, "mounted blob") // nothing is sent that the registry has
	h.run("crane", "copy", "--all-tags", p.ref("web"), p.ref("team/a/copy"))
	for _, tag := range []string{"1", "2"} {
		if got, want := p.pushed(t, "team/a/copy", tag), p.pushed(t, "web", tag); got.digest != want.digest {
			t.Errorf("tag %s was copied as %s, want %s", tag, got.digest, want.digest)
		}
	}
	h.refused([]string{"clobber"}, "crane", "copy", "--no-clobber", p.ref("web:2"), p.ref("copy:1"))

	var mine []string
	for _, name := range []string{"copy", "team/a/copy", "web"} {
		mine = append(mine, p.namespace+"/"+name)
	}
	contains(t, h.run("crane", "catalog", p.host), mine...)

	// By tag only the tag goes, by digest all that leads there.
	two := h.run("crane", "digest", p.ref("web:2"))
	h.run("crane", "tag", p.ref("web:2"), "latest")
	h.run("crane", "delete", p.ref("web:2"))
	p.tags(t, "web", "1", "latest")
	if got := h.run("crane", "digest", p.ref("web:latest")); got != two {
		t.Errorf("the other tag leads to %s, want %s", got, two)
	}
	h.run("crane", "delete", p.ref("web@"+two))
	p.tags(t, "web", "1")
	h.refused([]string{"404", "unknown"}, "crane", "manifest", p.ref("web@"+two))
	contains(t, h.run("crane", "validate", "--remote", p.ref("team/a/copy:2")), "PASS")
}

func TestCranePushesManyTags(t *testing.T) {
	p := newProject(t)
	h := craneHome(t, p)
	h.write("web.tar", string(tape(t, rootfs(t, "crane"))))
	h.run("crane", "append", "--new_layer", "web.tar", "--new_tag", p.ref("web:base"))
	want := []string{"base"}
	for i := range 12 {
		tag := fmt.Sprintf("v%02d", i)
		h.run("crane", "tag", p.ref("web:base"), tag)
		want = append(want, tag)
	}
	p.tags(t, "web", want...)
	lines(t, h.run("crane", "ls", p.ref("web")), want...)
}

func TestCraneIsLetInByRights(t *testing.T) {
	p := newProject(t)
	h := craneHome(t, p)
	h.write("web.tar", string(tape(t, rootfs(t, "crane"))))
	h.run("crane", "append", "--new_layer", "web.tar", "--new_tag", p.ref("web:1"))

	nobody := newHome(t)
	nobody.refused(denied, "crane", "manifest", p.ref("web:1"))
	nobody.refused(denied, "crane", "ls", p.ref("web"))
	puller := newHome(t)
	puller.feed(p.account(t, "puller", "system:image-puller").token, "crane", "auth", "login", p.host, "--username", "any", "--password-stdin")
	puller.run("crane", "manifest", p.ref("web:1"))
	puller.refused(denied, "crane", "tag", p.ref("web:1"), "mine")
	puller.refused(denied, "crane", "delete", p.ref("web:1"))

	p.letEverybodyPull(t)
	nobody.eventually("crane", "manifest", p.ref("web:1"))
	lines(t, nobody.run("crane", "ls", p.ref("web")), "1")
	nobody.run("crane", "pull", p.ref("web:1"), "web.tar")
	nobody.refused(denied, "crane", "push", "web.tar", p.ref("web:2"))
	p.tags(t, "web", "1")
}

// TestCraneIsToldWhyAPushIsRefused: who may push but not make streams can push to those
// that are there.
func TestCraneIsToldWhyAPushIsRefused(t *testing.T) {
	p := newProject(t)
	h := newHome(t)
	pusher := p.account(t, "pusher", "system:image-pusher")
	h.feed(pusher.token, "crane", "auth", "login", p.host, "--username", "any", "--password-stdin")
	h.write("web.tar", string(tape(t, rootfs(t, "crane"))))
	push := func(to string) []string {
		return []string{"append", "--new_layer", "web.tar", "--new_tag", p.ref(to)}
	}
	h.refused([]string{"denied"}, "crane", push("web:1")...)
	h.refused(denied, "crane", "append", "--new_layer", "web.tar", "--new_tag", p.host+"/no-such-namespace/web:1")
	h.refused([]string{"namespace/name"}, "crane", "append", "--new_layer", "web.tar", "--new_tag", p.host+"/web:1")

	craneHome(t, p).run("crane", "append", "--new_layer", h.path("web.tar"), "--new_tag", p.ref("web:1"))
	h.run("crane", push("web:2")...)
	p.pushed(t, "web", "2")
}
