package blobstore

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"time"

	digest "github.com/opencontainers/go-digest"
)

// Usage is the use of storage by kind, in bytes. Links and other small files are not counted.
type Usage struct {
	// Linked is the data of blobs that a repository has a link to.
	Linked int64
	// Kept is that of blobs without a link which came from another registry: streams that follow
	// it may refer to them.
	Kept int64
	// Unreferenced is that of blobs with neither.
	Unreferenced int64
	// Damaged is data that was taken out of service, Uploads that of blobs that are not complete.
	Damaged, Uploads int64
}

// maxUsageLinks bounds the links of different blobs that MeasureUsage distinguishes, of which each
// takes 8 bytes of memory.
const maxUsageLinks = 16 << 20

// ErrManyLinks is the error of MeasureUsage for storage with more links than it can tell apart.
var ErrManyLinks = errors.New("storage has too many links to measure its usage")

// MeasureUsage walks through all of storage, like Walk. Blobs that are stored meanwhile are not
// counted: their links are yet to come.
func (s *Store) MeasureUsage(ctx context.Context) (Usage, error) {
	m := &measurement{began: s.now()}
	err := s.walk(ctx, repositoriesFolder, "", m.takeLink)
	m.linked.settle()
	if err == nil {
		err = s.walk(ctx, asideFolder, "", m.takeLink)
	}
	if err == nil {
		err = s.WalkBlobs(ctx, "", m.takeBlob)
	}
	if err != nil {
		return Usage{}, fmt.Errorf("measuring the usage of storage: %w", err)
	}
	m.finish()
	return m.usage, nil
}

// measurement is one call of MeasureUsage.
type measurement struct {
	began  time.Time
	usage  Usage
	linked digestSet
	// blob and size are those of the blob whose files are being visited, and kept is true if it
	// came from another registry.
	blob digest.Digest
	size int64
	kept bool
}

func (m *measurement) takeLink(e Entry) error {
	switch e.Kind {
	case KindBlobLink, KindManifestLink:
		return m.linked.add(e.Digest)
	case KindUpload, KindAside:
		m.usage.Uploads += e.Size
	}
	return nil
}

func (m *measurement) takeBlob(e Entry) error {
	if e.Digest != m.blob {
		m.finish()
		m.blob, m.size, m.kept = e.Digest, 0, false
	}
	switch e.Kind {
	case KindBlob:
		if !e.ModTime.After(m.began) {
			m.size = e.Size
		}
	case KindDamaged:
		m.usage.Damaged += e.Size
	case KindProvenance, KindFetched:
		m.kept = true
	}
	return nil
}

// finish counts the blob whose files were visited.
func (m *measurement) finish() {
	switch {
	case m.blob == "":
	case m.linked.has(m.blob):
		m.usage.Linked += m.size
	case m.kept:
		m.usage.Kept += m.size
	default:
		m.usage.Unreferenced += m.size
	}
}

// digestSet has the first 64 bits of digests, which tell apart what a storage can hold.
type digestSet struct {
	sums    []uint64
	settled int // how many are sorted and there once
}

func (s *digestSet) add(d digest.Digest) error {
	if len(s.sums) >= 2*max(s.settled, 1<<16) {
		if s.settle(); s.settled > maxUsageLinks {
			return ErrManyLinks
		}
	}
	s.sums = append(s.sums, sumOf(d))
	return nil
}

func (s *digestSet) settle() {
	slices.Sort(s.sums)
	s.sums = slices.Compact(s.sums)
	s.settled = len(s.sums)
}

// has is called after settle.
func (s *digestSet) has(d digest.Digest) bool {
	_, found := slices.BinarySearch(s.sums, sumOf(d))
	return found
}

func sumOf(d digest.Digest) (sum uint64) {
	var first [8]byte
	_, _ = hex.Decode(first[:], []byte(d.Encoded()[:16])) // the digests of entries are valid
	for _, b := range first {
		sum = sum<<8 | uint64(b)
	}
	return sum
}
