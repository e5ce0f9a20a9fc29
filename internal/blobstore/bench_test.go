package blobstore_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"sync/atomic"
	"testing"

	storagedriver "github.com/distribution/distribution/v3/registry/storage/driver"
	"github.com/distribution/distribution/v3/registry/storage/driver/filesystem"
	digest "github.com/opencontainers/go-digest"

	"weir.dev/weir/internal/blobstore"
)

// distinct makes blobs of 100 KB, as small layers are, each another one.
type distinct struct {
	content []byte
	n       atomic.Uint64
}

func newDistinct() *distinct { return &distinct{content: random(100_000)} }

func (b *distinct) next() ([]byte, digest.Digest) {
	content := bytes.Clone(b.content)
	binary.BigEndian.PutUint64(content, b.n.Add(1))
	return content, digest.FromBytes(content)
}

// benchmarkDrivers runs a benchmark on our filesystem driver and on distribution's, one
// client and eight.
func benchmarkDrivers(b *testing.B, bench func(b *testing.B, s *blobstore.Store, do func(func()))) {
	for name, open := range map[string]func(b *testing.B) storagedriver.StorageDriver{
		"disk": func(b *testing.B) storagedriver.StorageDriver { return onDisk(b, b.TempDir()) },
		"distribution": func(b *testing.B) storagedriver.StorageDriver {
			return filesystem.New(filesystem.DriverParameters{RootDirectory: b.TempDir(), MaxThreads: 100})
		},
	} {
		for _, clients := range []int{1, 8} {
			b.Run(fmt.Sprintf("%s/%d", name, clients), func(b *testing.B) {
				s := storeOf(b, open(b))
				b.ReportAllocs()
				bench(b, s, func(f func()) {
					b.ResetTimer()
					if clients == 1 {
						for range b.N {
							f()
						}
						return
					}
					b.SetParallelism(clients / 2)
					b.RunParallel(func(pb *testing.PB) {
						for pb.Next() {
							f()
						}
					})
				})
			})
		}
	}
}

// BenchmarkPutStream is a blob that comes in one request.
func BenchmarkPutStream(b *testing.B) {
	benchmarkDrivers(b, func(b *testing.B, s *blobstore.Store, do func(func())) {
		blobs := newDistinct()
		b.SetBytes(int64(len(blobs.content)))
		do(func() {
			content, d := blobs.next()
			if _, err := s.PutStream(b.Context(), web, d, bytes.NewReader(content), -1); err != nil {
				b.Error(err)
			}
		})
	})
}

// BenchmarkUpload is a blob that comes as clients send it: POST, PATCH, PUT.
func BenchmarkUpload(b *testing.B) {
	benchmarkDrivers(b, func(b *testing.B, s *blobstore.Store, do func(func())) {
		blobs := newDistinct()
		b.SetBytes(int64(len(blobs.content)))
		do(func() {
			content, d := blobs.next()
			u := start(b, s)
			must(b, u.Close())
			u, err := s.Upload(b.Context(), repo, u.ID())
			must(b, err)
			appendAll(b, u, content)
			must(b, u.Close())
			u, err = s.Upload(b.Context(), repo, u.ID())
			must(b, err)
			if _, err := u.Commit(b.Context(), web, d); err != nil {
				b.Error(err)
			}
		})
	})
}

// BenchmarkImage is an image of five new layers and a configuration, all that a push
// makes of blob storage.
func BenchmarkImage(b *testing.B) {
	benchmarkDrivers(b, func(b *testing.B, s *blobstore.Store, do func(func())) {
		blobs := newDistinct()
		do(func() {
			for i := range 7 {
				content, d := blobs.next()
				if i < 5 {
					if _, err := s.PutStream(b.Context(), web, d, bytes.NewReader(content), -1); err != nil {
						b.Error(err)
					}
					continue
				}
				content = content[:2000]
				d = digest.FromBytes(content)
				must(b, s.Put(b.Context(), d, content))
				if i == 5 {
					must(b, s.LinkBlob(b.Context(), web, d))
				} else {
					must(b, s.LinkManifest(b.Context(), web, d))
				}
			}
		})
	})
}

// BenchmarkLargeUpload is a layer of 64 MiB.
func BenchmarkLargeUpload(b *testing.B) {
	content := random(64 << 20)
	s := storeOf(b, onDisk(b, b.TempDir()))
	d := digest.FromBytes(content)
	b.SetBytes(int64(len(content)))
	b.ReportAllocs()
	for b.Loop() {
		u := start(b, s)
		appendAll(b, u, content)
		_, err := u.Commit(b.Context(), web, d)
		must(b, err)
		must(b, s.Delete(b.Context(), d))
	}
}

// BenchmarkWarm is what a pull asks of a blob that is known.
func BenchmarkWarm(b *testing.B) {
	s := storeOf(b, onDisk(b, b.TempDir()))
	content := random(100_000)
	d := digest.FromBytes(content)
	_, err := s.PutStream(b.Context(), web, d, bytes.NewReader(content), -1)
	must(b, err)
	b.Run("stat", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := s.Stat(b.Context(), d); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("confirm", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := s.Confirm(b.Context(), d); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("has", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if has, err := s.HasBlob(b.Context(), web, d); err != nil || !has {
				b.Fatal(has, err)
			}
		}
	})
	b.Run("open", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			r, err := s.Open(b.Context(), d, 0)
			if err != nil {
				b.Fatal(err)
			}
			r.Close()
		}
	})
	b.Run("open and read", func(b *testing.B) {
		b.ReportAllocs()
		b.SetBytes(int64(len(content)))
		buffer := make([]byte, 64<<10)
		for b.Loop() {
			r, err := s.Open(b.Context(), d, 0)
			if err != nil {
				b.Fatal(err)
			}
			if _, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{r}, buffer); err != nil {
				b.Fatal(err)
			}
			r.Close()
		}
	})
}

// BenchmarkLink is a mount: a link to a blob that is there.
func BenchmarkLink(b *testing.B) {
	benchmarkDrivers(b, func(b *testing.B, s *blobstore.Store, do func(func())) {
		var n atomic.Uint64
		do(func() {
			must(b, s.LinkBlob(b.Context(), web, digest.FromString(fmt.Sprint(n.Add(1)))))
		})
	})
}
