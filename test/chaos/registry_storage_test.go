package chaos_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	digest "github.com/opencontainers/go-digest"

	"weir.dev/weir/internal/testenv"
)

// storageOf is the folder of the registry's storage in a data folder.
func storageOf(dataDir string) string {
	return filepath.Join(dataDir, "registry", "docker", "registry", "v2")
}

// repositoryIn is the folder of a repository's links.
func repositoryIn(dataDir, repo string) string {
	return filepath.Join(storageOf(dataDir), "repositories", filepath.FromSlash(repo))
}

// ownersIn are the UIDs that storage lists as owners of links in a repository.
func ownersIn(t *testing.T, dataDir, repo string) (uids []string) {
	t.Helper()
	entries, err := os.ReadDir(filepath.Join(repositoryIn(dataDir, repo), "_owners"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	for _, e := range entries {
		uids = append(uids, e.Name())
	}
	return uids
}

// linksOf counts the links of an owner in a repository.
func linksOf(t *testing.T, dataDir, repo, uid string) (count int) {
	t.Helper()
	for _, kind := range []string{"_layers", filepath.Join("_manifests", "revisions")} {
		found, err := filepath.Glob(filepath.Join(repositoryIn(dataDir, repo), kind, "*", "*", uid))
		if err != nil {
			t.Fatal(err)
		}
		count += len(found)
	}
	return count
}

// waitReleased waits until storage has no links of an owner in a repository, and does not
// list it as one.
func waitReleased(t *testing.T, dataDir, repo, uid string) {
	t.Helper()
	testenv.Eventually(t, "the links of "+uid+" to go from "+repo, func() error {
		if owners, links := ownersIn(t, dataDir, repo), linksOf(t, dataDir, repo, uid); slices.Contains(owners, uid) || links > 0 {
			return fmt.Errorf("%d links, owners %q", links, owners)
		}
		return nil
	})
}

// dataOf is the file with the content of a blob.
func dataOf(dataDir string, d digest.Digest) string {
	return filepath.Join(storageOf(dataDir), "blobs", d.Algorithm().String(), d.Encoded()[:2], d.Encoded(), "data")
}

// flipBit changes one bit in the middle of a stored blob.
func flipBit(t *testing.T, dataDir string, d digest.Digest) {
	t.Helper()
	content, err := os.ReadFile(dataOf(dataDir, d))
	if err != nil {
		t.Fatal(err)
	}
	content[len(content)/2] ^= 1
	if err := os.WriteFile(dataOf(dataDir, d), content, 0o600); err != nil {
		t.Fatal(err)
	}
}

// takeBack rewrites the repositories of a namespace into the layout before links had
// owners: only the files that are called link stay. It returns how many there are.
func takeBack(t *testing.T, dataDir, ns string) (links int) {
	t.Helper()
	root := repositoryIn(dataDir, ns)
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && entry.Name() == "_owners":
			if err := os.RemoveAll(path); err != nil {
				return err
			}
			return fs.SkipDir
		case entry.IsDir():
			return nil
		case entry.Name() == "link":
			links++
			return nil
		case strings.Contains(path, "_layers") || strings.Contains(path, "_manifests"):
			return os.Remove(path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return links
}
