package blobstore

import (
	"encoding/json"
	"path"
	"strings"
	"testing"

	storagedriver "github.com/distribution/distribution/v3/registry/storage/driver"
	digest "github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// The paths of distribution's layout stand here in full: storage that is taken over has
// them.
func TestPaths(t *testing.T) {
	d := digest.FromString("x")
	const (
		hex  = "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"
		root = "/docker/registry/v2"
		id   = "c5f1b3a0-5d0c-4b0e-9c5e-0d2f4f9b8a77"
	)
	long := digest.SHA512.FromString("x")
	for _, test := range []struct{ got, want string }{
		{blobPath(d), root + "/blobs/sha256/2d/" + hex + "/data"},
		{blobFolder(d), root + "/blobs/sha256/2d/" + hex},
		{blobPath(long), root + "/blobs/sha512/" + long.Encoded()[:2] + "/" + long.Encoded() + "/data"},
		{linkFolder("shop/web", blobLinks, d) + "/" + linkFile, root + "/repositories/shop/web/_layers/sha256/" + hex + "/link"},
		{linkFolder("shop/web", manifestLinks, d) + "/" + linkFile, root + "/repositories/shop/web/_manifests/revisions/sha256/" + hex + "/link"},
		{linkFolder("shop/web", manifestLinks, long), root + "/repositories/shop/web/_manifests/revisions/sha512/" + long.Encoded()},
		{referrerPath("shop/web", d, long), root + "/repositories/shop/web/_referrers/sha256/" + hex + "/sha512." + long.Encoded()},
		{ownersFolder("shop/web") + "/" + unownedFile, root + "/repositories/shop/web/_owners/unowned"},
		{uploadFolder("shop/web", id) + "/" + dataFile, root + "/repositories/shop/web/_uploads/" + id + "/data"},
		{uploadFolder("shop/web", id) + "/" + startedAtFile, root + "/repositories/shop/web/_uploads/" + id + "/startedat"},
		{namespaceFolder("shop"), root + "/repositories/shop"},
		{asidePath(id), root + "/aside/" + id},
		{asideStartedAt(id), root + "/aside/" + id + ".startedat"},
	} {
		if test.got != test.want {
			t.Errorf("%s, want %s", test.got, test.want)
		}
	}
}

func TestReferrerOf(t *testing.T) {
	for _, d := range []digest.Digest{digest.FromString("x"), digest.SHA512.FromString("x")} {
		if got, ok := referrerOf(path.Base(referrerPath("a/b", digest.FromString("s"), d))); !ok || got != d {
			t.Errorf("%s: %s, %t", d, got, ok)
		}
	}
	for _, name := range []string{"", ".", "sha256", "sha256.", "sha256.abc", "README", "sha256." + strings.Repeat("a", 64) + ".tmp"} {
		if d, ok := referrerOf(name); ok {
			t.Errorf("%q is the referrer %s", name, d)
		}
	}
}

func TestCheckRepository(t *testing.T) {
	for _, repo := range []string{"a/b", "shop/web", "my-project/app.x2f.web", "0/1", "ns/a__b", "ns/a--b", "ns/" + strings.Repeat("a", 255)} {
		if err := checkRepository(repo); err != nil {
			t.Error(err)
		}
	}
}

// inside fails for a path that is not below a folder, component by component.
func inside(t *testing.T, p, folder string) {
	t.Helper()
	if path.Clean(p) != p || !strings.HasPrefix(p, folder+"/") || !storagedriver.PathRegexp.MatchString(p) {
		t.Errorf("%q is no path inside %s", p, folder)
	}
	for _, component := range strings.Split(p[1:], "/") {
		if component == "." || component == ".." || len(component) > 255 {
			t.Errorf("%q has the component %q", p, component)
		}
	}
}

func FuzzRepository(f *testing.F) {
	for _, seed := range []string{"shop/web", "a/b/c", "../..", "a/..", "a/_uploads", "a/.", "/a", "a/", "a/b\x00", "A/b", "a/b.", "ü/a", "a//b"} {
		f.Add(seed)
	}
	d := digest.FromString("x")
	f.Fuzz(func(t *testing.T, repo string) {
		if checkRepository(repo) != nil {
			return
		}
		inside(t, linkFolder(repo, blobLinks, d), repositoryFolder(repo))
		inside(t, ownersFolder(repo), repositoryFolder(repo))
		inside(t, referrerPath(repo, d, d), repositoryFolder(repo))
		inside(t, uploadFolder(repo, "x"), repositoryFolder(repo))
		inside(t, repositoryFolder(repo), repositoriesFolder)
		if namespace, _ := path.Split(repo); strings.Count(repo, "/") != 1 || checkComponent(strings.TrimSuffix(namespace, "/")) != nil {
			t.Errorf("%q has not two components", repo)
		}
	})
}

func FuzzDigest(f *testing.F) {
	for _, seed := range []string{"sha256:", "sha256:" + strings.Repeat("a", 64), "sha512:" + strings.Repeat("0", 128), "sha256:../../x", ":", "",
		"sha256:" + strings.Repeat("A", 64), "sha384:" + strings.Repeat("a", 96), "sha256+b64u:x", "sha256:sha256:" + strings.Repeat("a", 57)} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		d := digest.Digest(text)
		valid := d.Validate() == nil && (d.Algorithm() == digest.SHA256 || d.Algorithm() == digest.SHA512)
		if got := checkDigest(d) == nil; got != valid {
			t.Fatalf("%q is taken: %t, and is one: %t", text, got, valid)
		}
		if valid {
			inside(t, blobPath(d), rootFolder+"/blobs")
			inside(t, referrerPath("a/b", d, d), repositoryFolder("a/b"))
		}
	})
}

func FuzzUploadID(f *testing.F) {
	for _, seed := range []string{"", "c5f1b3a0-5d0c-4b0e-9c5e-0d2f4f9b8a77", "../x", "C5F1B3A0-5D0C-4B0E-9C5E-0D2F4F9B8A77", strings.Repeat("-", 36)} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, id string) {
		if isUploadID(id) {
			inside(t, uploadFolder("a/b", id), uploadsFolder("a/b"))
			inside(t, asidePath(id), asideFolder)
		}
	})
}

func FuzzOwner(f *testing.F) {
	for _, seed := range []string{"", "link", "unowned", "..", "a/b", "6f1d9e0a-5a0e-4a52-9a52-0f6b1f3d7c01", "link.X.tmp", "-", strings.Repeat("a", 65)} {
		f.Add(seed)
	}
	d := digest.FromString("x")
	f.Fuzz(func(t *testing.T, uid string) {
		if checkOwner(uid) != nil {
			return
		}
		inside(t, linkFolder("a/b", blobLinks, d)+"/"+uid, linkFolder("a/b", blobLinks, d))
		inside(t, ownersFolder("a/b")+"/"+uid, ownersFolder("a/b"))
		if uid == linkFile || uid == unownedFile || len(uid) > 64 {
			t.Errorf("%q is a UID", uid)
		}
	})
}

func FuzzReferrerName(f *testing.F) {
	for _, seed := range []string{"", "sha256." + strings.Repeat("a", 64), "sha256.x", "x/sha256." + strings.Repeat("a", 64), "..", "sha512..."} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, name string) {
		if d, ok := referrerOf(name); ok && path.Base(referrerPath("a/b", d, d)) != path.Base(name) {
			t.Errorf("%q is read as %s", name, d)
		}
	})
}

func FuzzDescriptor(f *testing.F) {
	d := digest.FromString("x")
	f.Add([]byte(`{"mediaType":"a/b","digest":"` + string(d) + `","size":1}`))
	f.Add([]byte(`{"mediaType":"a/b","digest":"` + string(d) + `","size":-1}`))
	f.Add([]byte(`{}`))
	f.Add([]byte(nil))
	f.Fuzz(func(t *testing.T, content []byte) {
		entry, ok := parseReferrer(content, d)
		if !ok {
			return
		}
		var descriptor ocispec.Descriptor
		if err := json.Unmarshal(entry.Descriptor, &descriptor); err == nil && (descriptor.Digest != d || descriptor.Size < 0) {
			t.Errorf("%q is the descriptor %v", content, descriptor)
		}
	})
}

func FuzzStartedAt(f *testing.F) {
	f.Add([]byte("2026-08-05T21:58:15Z"))
	f.Add([]byte("2026-08-05T21:58:15+02:00\n"))
	f.Add([]byte("yesterday"))
	f.Fuzz(func(t *testing.T, content []byte) {
		at, err := parseTime(content)
		if err != nil || at.UTC().Year() > 9999 || at.UTC().Year() < 0 {
			return
		}
		again, err := parseTime(formatTime(at))
		if err != nil || at.Sub(again).Abs() >= 1e9 {
			t.Errorf("%q is %s, and then %s, %v", content, at, again, err)
		}
	})
}
