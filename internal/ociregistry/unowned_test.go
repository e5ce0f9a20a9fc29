package ociregistry_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"weir.dev/weir/internal/blobstore/disk"
)

// disown makes all links of a repository those of an earlier version, which have no owner.
func (r *registry) disown(repo string) {
	r.t.Helper()
	root := "/docker/registry/v2/repositories/" + repo
	r.fatal(r.driver.Delete(r.t.Context(), root+"/_owners"))
	for _, kind := range []string{"/_layers/sha256", "/_manifests/revisions/sha256"} {
		folders, err := r.driver.List(r.t.Context(), root+kind)
		r.fatal(err)
		for _, folder := range folders {
			files, err := r.driver.List(r.t.Context(), folder)
			r.fatal(err)
			for _, file := range files {
				if !strings.HasSuffix(file, "/link") {
					r.fatal(r.driver.Delete(r.t.Context(), file))
				}
			}
		}
	}
}

// TestUnownedLinksOfTheStreamBefore holds that links of an earlier version, which nothing
// has read since, do not become those of the next stream of the name.
func TestUnownedLinksOfTheStreamBefore(t *testing.T) {
	for name, end := range map[string]func(*registry){
		"a reconciliation while the stream is there": func(r *registry) {
			r.fatal(r.handler.Reconcile(context.Background()))
			r.directory.deleted(parse(r.t, "a/app"))
		},
		"the release of the stream": func(r *registry) {
			r.fatal(r.handler.Remove(context.Background(), r.directory.deleted(parse(r.t, "a/app")), time.Now()))
		},
	} {
		t.Run(name, func(t *testing.T) {
			writer := start(t)
			content := writer.image("a/app", "secret")
			writer.push("a/app", "v1", content)
			writer.disown("a/app")

			r := startWith(t, writer.driver) // remembers nothing
			r.directory.ensure(parse(t, "a/app"))
			end(r)
			r.directory.ensure(parse(t, "a/app"))
			r.want(404, "", r.do("GET", "/v2/a/app/manifests/"+digestOf(content), nil))
			r.want(404, "", r.do("GET", "/v2/a/app/blobs/"+digestOf([]byte("layer of secret")), nil))
		})
	}
}

// TestRepeatedUploadsStay holds that a blob which is uploaded again after its stream was
// deleted does not go with that stream.
func TestRepeatedUploadsStay(t *testing.T) {
	root := t.TempDir()
	driver, err := disk.Open(root, disk.DefaultMaxThreads)
	if err != nil {
		t.Fatal(err)
	}
	r := startWith(t, driver)
	r.directory.ensure(parse(t, "a/app"))
	content := []byte("uploaded twice")
	d := r.pushBlob("a/app", content)
	links := filepath.Join(root, "docker/registry/v2/repositories/a/app/_layers/sha256", d.Encoded())
	files, err := os.ReadDir(links)
	r.fatal(err)
	before := time.Now().Add(-time.Hour)
	for _, file := range files {
		r.fatal(os.Chtimes(filepath.Join(links, file.Name()), before, before))
	}
	gone := r.directory.deleted(parse(t, "a/app"))
	r.pushBlob("a/app", content)
	r.fatal(r.handler.Remove(t.Context(), gone, time.Now()))
	r.want(200, "", r.do("GET", "/v2/a/app/blobs/"+d.String(), nil))
}
