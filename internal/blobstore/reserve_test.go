package blobstore_test

import (
	"bytes"
	"errors"
	"testing"

	digest "github.com/opencontainers/go-digest"

	"weir.dev/weir/internal/blobstore"
)

// room is a Reserve with so many bytes above it.
type room struct{ bytes int64 }

var errReserve = errors.New("that is kept free")

func (r *room) Admit(bytes int64) error {
	if bytes > r.bytes {
		return errReserve
	}
	r.bytes -= bytes
	return nil
}

// At the reserve no content comes in, in any way, nor what is half in; nothing is left of it.
// Reading, linking and removing go on.
func TestReserve(t *testing.T) {
	ctx := t.Context()
	left := &room{bytes: 64 << 20}
	s, err := blobstore.New(blobstore.Options{Driver: onDisk(t, t.TempDir()), Reserve: left})
	if err != nil {
		t.Fatal(err)
	}
	content, large := random(100), random(3<<20)
	d := digest.FromBytes(content)
	if _, err := s.PutStream(ctx, web, d, bytes.NewReader(content), -1); err != nil {
		t.Fatal(err)
	}
	begun, err := s.StartUpload(ctx, repo, "")
	if err != nil {
		t.Fatal(err)
	}
	ingest, err := s.Ingest(ctx, digest.FromBytes(large))
	if err != nil {
		t.Fatal(err)
	}

	left.bytes = 1 << 20
	_, err = s.PutStream(ctx, web, digest.FromBytes(large), bytes.NewReader(large), -1)
	wantIs(t, err, blobstore.ErrFull)
	left.bytes = 1 << 20
	_, err = begun.Append(ctx, bytes.NewReader(large))
	wantIs(t, err, blobstore.ErrFull)
	wantIs(t, err, errReserve)
	_, err = s.Upload(ctx, repo, begun.ID())
	wantIs(t, err, blobstore.ErrUnknown)
	left.bytes = 1 << 20
	_, err = ingest.Receive(ctx, bytes.NewReader(large), nil)
	wantIs(t, err, blobstore.ErrFull)
	if err := ingest.Cancel(ctx); err != nil {
		t.Error(err)
	}

	left.bytes = 0
	wantIs(t, s.Room(), blobstore.ErrFull)
	wantIs(t, s.Put(ctx, digest.FromBytes(random(50)), random(50)), blobstore.ErrFull)
	_, err = s.StartUpload(ctx, repo, "")
	wantIs(t, err, blobstore.ErrFull)
	_, err = s.Ingest(ctx, digest.FromBytes(large))
	wantIs(t, err, blobstore.ErrFull)
	if err := s.Put(ctx, d, content); err != nil {
		t.Errorf("what is stored already: %v", err)
	}
	if err := s.LinkBlob(ctx, api, d); err != nil {
		t.Errorf("a link: %v", err)
	}
	if err := s.UnlinkBlob(ctx, web, d); err != nil {
		t.Errorf("removing a link: %v", err)
	}
	r, err := s.Open(ctx, d, 0)
	if err != nil {
		t.Fatal(err)
	}
	r.Close()
}
