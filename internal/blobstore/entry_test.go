package blobstore

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	digest "github.com/opencontainers/go-digest"
)

const (
	testUID    = "5e9f1a52-6a5e-4c0e-8f0f-0d7f3b6c1d2e"
	testUpload = "c5f1b3a0-5d0c-4b0e-9c5e-0d2f4f9b8a77"
)

// entryPaths are paths of every kind with what they mean.
func entryPaths() map[string]Entry {
	d, long := digest.FromString("x"), digest.SHA512.FromString("x")
	const repo = "shop/web"
	upload := uploadFolder(repo, testUpload)
	return map[string]Entry{
		blobPath(d):                            {Kind: KindBlob, Digest: d},
		blobPath(long):                         {Kind: KindBlob, Digest: long},
		blobFolder(d) + "/damaged":             {Kind: KindDamaged, Digest: d},
		blobFolder(d) + "/pushed":              {Kind: KindPushed, Digest: d},
		blobFolder(d) + "/missing":             {Kind: KindMissing, Digest: d},
		fetchedPath(d):                         {Kind: KindFetched, Digest: d},
		provenanceFolder(long) + "/" + d.Hex(): {Kind: KindProvenance, Digest: long},

		linkFolder(repo, blobLinks, d) + "/" + linkFile:        {Kind: KindBlobLink, Repository: repo, Digest: d},
		linkFolder(repo, blobLinks, d) + "/" + testUID:         {Kind: KindBlobLink, Repository: repo, Digest: d, Owner: testUID},
		linkFolder(repo, manifestLinks, long) + "/" + linkFile: {Kind: KindManifestLink, Repository: repo, Digest: long},
		linkFolder(repo, manifestLinks, long) + "/Static-1":    {Kind: KindManifestLink, Repository: repo, Digest: long, Owner: "Static-1"},
		repositoryFolder(repo) + "/_owners/" + testUID:         {Kind: KindOwner, Repository: repo, Owner: testUID},
		repositoryFolder(repo) + "/_owners/link-":              {Kind: KindOwner, Repository: repo, Owner: "link-"},
		referrerPath(repo, d, long):                            {Kind: KindReferrer, Repository: repo, Digest: long, Subject: d},
		scopePath("shop"):                                      {Kind: KindScope, Repository: "shop"},

		upload + "/data":                    {Kind: KindUpload, Repository: repo},
		upload + "/startedat":               {Kind: KindUpload, Repository: repo},
		upload + "/hashstate":               {Kind: KindUpload, Repository: repo},
		upload + "/hashstates/sha256/10240": {Kind: KindUpload, Repository: repo},
		asidePath(testUpload):               {Kind: KindAside},
		asideStartedAt(testUpload):          {Kind: KindAside},
		scrubPath:                           {Kind: KindOther},
		namesPath:                           {Kind: KindOther},
		apiPath:                             {Kind: KindOther},
	}
}

// foreignPaths are not the store's.
func foreignPaths() []string {
	d := digest.FromString("x")
	hex := d.Hex()
	const repo = "shop/web"
	return []string{
		"", "/", "/x", rootFolder, rootFolder + "/", rootFolder + "/x", rootFolder + "/_scrub/x", rootFolder + "/_names.tmp",
		blobFolder(d), blobFolder(d) + "/data.ABC.tmp", blobFolder(d) + "/other", blobFolder(d) + "/data/x", blobFolder(d) + "/from/x",
		blobFolder(d) + "/from/" + hex + "/x", blobsFolder + "/sha256/00/" + hex + "/data", blobsFolder + "/md5/00/00/data",
		blobsFolder + "/sha256/" + hex[:2] + "/" + strings.ToUpper(hex) + "/data", blobsFolder + "/data",
		linkFolder(repo, blobLinks, d) + "/" + linkFile + ".ABC.tmp", linkFolder(repo, blobLinks, d), linkFolder(repo, blobLinks, d) + "/" + linkFile + "/x",
		linkFolder(repo, blobLinks, d) + "/" + strings.Repeat("a", 81), linkFolder(repo, blobLinks, d) + "/a_b",
		linkFolder("Shop/web", blobLinks, d) + "/" + linkFile, linkFolder("shop/_web", blobLinks, d) + "/" + linkFile,
		repositoryFolder(repo) + "/_layers/md5/" + hex + "/link",
		repositoryFolder(repo) + "/_manifests/tags/latest/current/link",
		repositoryFolder(repo) + "/_manifests/tags/latest/index/sha256/" + hex + "/link",
		repositoryFolder(repo) + "/_manifests/revisions/sha256/" + hex + "/signatures/sha256/" + hex + "/link",
		repositoryFolder(repo) + "/_owners/link", repositoryFolder(repo) + "/_owners/", repositoryFolder(repo) + "/_owners/a/b",
		repositoryFolder(repo) + "/_referrers/sha256/" + hex + "/x", repositoryFolder(repo) + "/_referrers/sha256/x/sha256." + hex,
		uploadsFolder(repo) + "/x/data", uploadFolder(repo, testUpload), uploadFolder(repo, testUpload) + "/x",
		uploadFolder(repo, testUpload) + "/data/x", uploadFolder(repo, testUpload) + "/hashstates/../..",
		uploadFolder(repo, testUpload) + "/hashstates/sha256/", asideFolder + "/x", asidePath(testUpload) + "/x", asidePath(testUpload) + ".x",
		repositoriesFolder + "/_scope", repositoriesFolder + "/shop/_scope/x", repositoriesFolder + "/shop/x",
		strings.TrimPrefix(blobPath(d), "/"), "/x" + blobPath(d),
	}
}

func TestParseEntry(t *testing.T) {
	for path, want := range entryPaths() {
		want.Path = path
		got, ok := parseEntry(path)
		if diff := cmp.Diff(want, got); !ok || diff != "" {
			t.Errorf("%s: %t\n%s", path, ok, diff)
		}
	}
	for _, path := range foreignPaths() {
		if e, ok := parseEntry(path); ok {
			t.Errorf("%q is read as %+v", path, e)
		}
	}
}

// pathOf makes the path of an entry, where its fields say all about it.
func pathOf(e Entry) (path string, ok bool) {
	name := e.Owner
	if name == "" {
		name = "link"
	}
	switch e.Kind {
	case KindBlob:
		return blobPath(e.Digest), true
	case KindDamaged, KindPushed, KindMissing, KindFetched:
		return blobFolder(e.Digest) + "/" + strings.ToLower(string(e.Kind)), true
	case KindBlobLink:
		return linkFolder(e.Repository, blobLinks, e.Digest) + "/" + name, true
	case KindManifestLink:
		return linkFolder(e.Repository, manifestLinks, e.Digest) + "/" + name, true
	case KindOwner:
		return repositoryFolder(e.Repository) + "/_owners/" + e.Owner, true
	case KindReferrer:
		return referrerPath(e.Repository, e.Subject, e.Digest), true
	case KindScope:
		return scopePath(e.Repository), true
	default:
		return "", false
	}
}

func FuzzEntry(f *testing.F) {
	for path := range entryPaths() {
		f.Add(path)
	}
	for _, path := range foreignPaths() {
		f.Add(path)
	}
	f.Fuzz(func(t *testing.T, path string) {
		e, ok := parseEntry(path)
		if !ok {
			if diff := cmp.Diff(Entry{}, e); diff != "" {
				t.Errorf("of %q something is read:\n%s", path, diff)
			}
			return
		}
		inside(t, path, rootFolder)
		if e.Path != path || strings.Count(path[len(rootFolder):], "/") > maxDepth {
			t.Errorf("%q is read as %+v", path, e)
		}
		if again, ok := pathOf(e); ok && again != path {
			t.Errorf("%q is read as %+v, which is %q", path, e, again)
		}
	})
}
