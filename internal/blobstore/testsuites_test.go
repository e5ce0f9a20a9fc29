package blobstore_test

import (
	"flag"
	"os"
	"testing"

	storagedriver "github.com/distribution/distribution/v3/registry/storage/driver"
	"github.com/distribution/distribution/v3/registry/storage/driver/testsuites"
)

// TestDriverSuites runs distribution's own tests of drivers on what package drivers opens.
// All of them pass. They are told to be short, which leaves out one test,
// TestWriteReadLargeStreams: it pushes 5 GB through every driver. With
// WEIR_TEST_LONG set it runs. They cannot run side by side: one of them appends to the
// content that all of them share.
//
// The driver in memory is not among them: it is for tests, and its own names collide now and then.
func TestDriverSuites(t *testing.T) {
	if os.Getenv("WEIR_TEST_LONG") == "" {
		short := flag.Lookup("test.short")
		was := short.Value.String()
		must(t, short.Value.Set("true"))
		t.Cleanup(func() { must(t, short.Value.Set(was)) })
	}
	root, server := t.TempDir(), startS3(t)
	for name, open := range map[string]func() storagedriver.StorageDriver{
		"filesystem": func() storagedriver.StorageDriver { return onDisk(t, root) },
		"s3":         func() storagedriver.StorageDriver { return server.driver(t, "/suite") },
	} {
		t.Run(name, func(t *testing.T) {
			testsuites.Driver(t, func() (storagedriver.StorageDriver, error) { return open(), nil }, false)
		})
	}
}
