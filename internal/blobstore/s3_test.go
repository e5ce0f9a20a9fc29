package blobstore_test

import (
	"context"
	"testing"

	storagedriver "github.com/distribution/distribution/v3/registry/storage/driver"

	"weir.dev/weir/internal/blobstore/drivers"
	"weir.dev/weir/internal/testenv/s3server"
)

// s3 is a running S3-compatible server with a bucket.
type s3 struct{ *s3server.Server }

// startS3 starts a server that ends with the test.
func startS3(tb testing.TB) s3 {
	tb.Helper()
	return startS3On(tb, tb.TempDir())
}

// startS3On starts a server with its files in a folder.
func startS3On(tb testing.TB, folder string) s3 {
	tb.Helper()
	return s3{s3server.Start(tb, folder)}
}

// driver opens the bucket, below a folder of its own.
func (s s3) driver(tb testing.TB, root string) storagedriver.StorageDriver {
	tb.Helper()
	d, err := drivers.Open(context.Background(), "s3", s.Parameters(root), "")
	if err != nil {
		tb.Fatal(err)
	}
	return d
}

// unfinished counts the multipart uploads that the server keeps.
func (s s3) unfinished(t *testing.T) int {
	t.Helper()
	count, err := s.Unfinished()
	if err != nil {
		t.Fatal(err)
	}
	return count
}
