package ociregistry_test

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	storagedriver "github.com/distribution/distribution/v3/registry/storage/driver"
	"github.com/distribution/distribution/v3/registry/storage/driver/inmemory"
	digest "github.com/opencontainers/go-digest"

	"weir.dev/weir/internal/ociregistry"
)

// wide is a list of n manifests that exist nowhere.
func wide(n int, seed string) []byte {
	entries := make([]string, n)
	for i := range entries {
		entries[i] = fmt.Sprintf(`{"digest":%q,"size":1}`, digest.FromString(fmt.Sprint(seed, i)))
	}
	return []byte(`{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[` + strings.Join(entries, ",") + `]}`)
}

// TestListsOfManifestsThatAreNowhere holds that a question looks for a bounded number of
// them, says so, and that the next one goes on from there.
func TestListsOfManifestsThatAreNowhere(t *testing.T) {
	r := start(t)
	for _, tag := range []string{"one", "two"} {
		r.imported(t, "b/app", tag, wide(3000, tag))
	}
	path := "/v2/b/app/blobs/" + digestOf([]byte("unknown"))
	got := r.want(503, ociregistry.CodeUnavailable, r.do("GET", path, nil))
	if got.header.Get("Retry-After") == "" {
		t.Errorf("the answer has %v", got.header)
	}
	r.want(404, "", r.do("GET", path, nil))
}

// listing counts the folders that are listed.
type listing struct {
	storagedriver.StorageDriver
	count atomic.Int64
}

func (d *listing) List(ctx context.Context, path string) ([]string, error) {
	d.count.Add(1)
	return d.StorageDriver.List(ctx, path)
}

// TestUnknownBlobsOfCopies holds that images of a repository which has no link to a blob are
// not searched for it.
func TestUnknownBlobsOfCopies(t *testing.T) {
	driver := &listing{StorageDriver: inmemory.New()}
	r := startWith(t, driver)
	for i := range 5 {
		m := wide(100, fmt.Sprint(i))
		r.push("a/app", fmt.Sprint("v", i), m)
		r.directory.copied(parse(t, "a/app"), parse(t, "b/app"), fmt.Sprint("v", i), digest.FromBytes(m))
	}
	before := driver.count.Load()
	r.want(404, "", r.do("HEAD", "/v2/b/app/blobs/"+digestOf([]byte("unknown")), nil))
	if n := driver.count.Load() - before; n > 50 {
		t.Errorf("%d folders were listed", n)
	}
}
