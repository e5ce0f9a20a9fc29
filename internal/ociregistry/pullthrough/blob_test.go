package pullthrough

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"sync"
	"testing"

	storagedriver "github.com/distribution/distribution/v3/registry/storage/driver"

	digest "github.com/opencontainers/go-digest"

	"weir.dev/weir/internal/ociregistry"
)

var drivers = map[string]func(string) storagedriver.StorageDriver{"disk": onDisk, "unreadable while written": inMemory}

// What passes through is kept, and served when its registry is gone.
func TestBlobIsServedAndKept(t *testing.T) {
	for name, driver := range drivers {
		for _, size := range []int{0, 1, heldBack - 1, heldBack, heldBack + 1, 2*heldBack + 1, 3<<20 + 7} {
			for _, known := range []bool{true, false} {
				t.Run(fmt.Sprint(name, size, known), func(t *testing.T) {
					content, d := random(size)
					r := newRig(t, func(s *setup) { s.driver = driver })
					other := elsewhere(t, content)
					o := from(t, size, other)
					if !known {
						o.Size = -1
					}
					r.wantPull(d, o, content)
					r.wantStored(d, content)
					other.On("/", func(w http.ResponseWriter, _ *http.Request) bool { panic(http.ErrAbortHandler) })
					r.wantPull(d, o, content)
					// Nothing has to be fetched for the blob of which it is known that it is empty.
					if n := gets(other, d); n != 1 && (size > 0 || !known) {
						t.Errorf("%d requests for the content", n)
					}
					r.wantNothingAside()
				})
			}
		}
	}
}

// held lets a registry send a part of a blob and the rest when it is released.
func held(content []byte, first int) (answer func(http.ResponseWriter, *http.Request, int) bool, release func()) {
	gate := make(chan struct{})
	return func(w http.ResponseWriter, r *http.Request, _ int) bool {
		w.Header().Set("Content-Length", fmt.Sprint(len(content)))
		w.Write(content[:first])
		w.(http.Flusher).Flush()
		select {
		case <-gate:
			w.Write(content[first:])
		case <-r.Context().Done():
		}
		return true
	}, sync.OnceFunc(func() { close(gate) })
}

func TestFirstByteDoesNotWaitForTheLast(t *testing.T) {
	for name, driver := range drivers {
		t.Run(name, func(t *testing.T) {
			content, d := random(1 << 20)
			r, other := newRig(t, func(s *setup) { s.driver = driver }), elsewhere(t, content)
			answer, release := held(content, 500_000)
			blobScript(other, d, answer)
			b, err := r.Blob(t.Context(), in(app, d, from(t, len(content), other)))
			if err != nil {
				t.Fatal(err)
			}
			early, err := b.Open(t.Context(), 0)
			if err != nil {
				t.Fatal(err)
			}
			first := make([]byte, 500_000)
			if _, err := io.ReadFull(early, first); err != nil || !bytes.Equal(first, content[:500_000]) {
				t.Fatalf("the first half: %v", err)
			}
			// A range that has arrived, by a caller that joins.
			part, err := b.Open(t.Context(), 400_000)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := io.ReadFull(part, first[:50_000]); err != nil || !bytes.Equal(first[:50_000], content[400_000:450_000]) {
				t.Fatalf("a part: %v", err)
			}
			// A range that has not waits for it.
			late := make(chan []byte, 1)
			go func() {
				got, _ := r.pullFrom(app, d, from(t, len(content), other), 900_000)
				late <- got
			}()
			r.eventually("the late range waits", func() bool { return r.holdersOf(d) == 2 })
			release()
			rest, err := io.ReadAll(early)
			if err != nil || !bytes.Equal(rest, content[500_000:]) {
				t.Errorf("the second half: %d bytes, %v", len(rest), err)
			}
			if got := <-late; !bytes.Equal(got, content[900_000:]) {
				t.Errorf("the late range: %d bytes", len(got))
			}
			early.Close()
			part.Close()
			r.wantStored(d, content)
			if n := gets(other, d); n != 1 {
				t.Errorf("%d requests for the content", n)
			}
		})
	}
}

func TestManyPullsAreOneFetch(t *testing.T) {
	for name, driver := range drivers {
		t.Run(name, func(t *testing.T) {
			content, d := random(4<<20 + 1)
			r, other := newRig(t, func(s *setup) { s.driver = driver }), elsewhere(t, content)
			answer, release := held(content, 1<<20)
			blobScript(other, d, answer)
			o := from(t, len(content), other)
			var work sync.WaitGroup
			for i := range 50 {
				work.Go(func() {
					offset := int64(i%5) * 1_000_000
					if got, err := r.pullFrom(app, d, o, offset); err != nil || !bytes.Equal(got, content[offset:]) {
						t.Errorf("from %d: %d bytes, %v", offset, len(got), err)
					}
				})
			}
			r.eventually("fifty wait", func() bool { return r.holdersOf(d) == 50 })
			release()
			work.Wait()
			r.wantStored(d, content)
			if n := gets(other, d); n != 1 {
				t.Errorf("%d requests for the content", n)
			}
			r.wantNothingAside()
		})
	}
}

func TestSlowReaderDoesNotSlowTheFetch(t *testing.T) {
	for name, driver := range drivers {
		t.Run(name, func(t *testing.T) {
			content, d := random(8 << 20)
			r, other := newRig(t, func(s *setup) { s.driver = driver }), elsewhere(t, content)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			b, err := r.Blob(ctx, in(app, d, from(t, len(content), other)))
			if err != nil {
				t.Fatal(err)
			}
			slow, err := b.Open(ctx, 0)
			if err != nil {
				t.Fatal(err)
			}
			first := make([]byte, 10)
			io.ReadFull(slow, first)
			r.eventually("the blob is stored meanwhile", func() bool {
				_, err := r.store.Confirm(t.Context(), d)
				return err == nil
			})
			rest, err := io.ReadAll(slow)
			if err != nil || !bytes.Equal(append(first, rest...), content) {
				t.Errorf("%d bytes, %v", len(rest), err)
			}
			slow.Close()
			r.wantStored(d, content)
		})
	}
}

// A caller that leaves does not end what others wait for, and a fetch without callers goes on.
func TestFetchGoesOnWithoutCallers(t *testing.T) {
	content, d := random(1 << 20)
	r, other := newRig(t), elsewhere(t, content)
	answer, release := held(content, 100_000)
	blobScript(other, d, answer)
	ctx, leave := context.WithCancel(t.Context())
	b, err := r.Blob(ctx, in(app, d, from(t, len(content), other)))
	if err != nil {
		t.Fatal(err)
	}
	reader, err := b.Open(ctx, 0)
	if err != nil {
		t.Fatal(err)
	}
	leave()
	if _, err := io.ReadAll(reader); err == nil {
		t.Error("a caller that has left read to the end")
	}
	reader.Close()
	r.eventually("the fetch is in the background", func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		return r.background == 1
	})
	// Another caller takes it over.
	done := make(chan error, 1)
	go func() {
		got, err := r.pull(d, from(t, len(content), other))
		if err == nil && !bytes.Equal(got, content) {
			err = fmt.Errorf("%d bytes", len(got))
		}
		done <- err
	}()
	r.eventually("it is in the foreground again", func() bool { return r.holdersOf(d) == 1 })
	release()
	if err := <-done; err != nil {
		t.Error(err)
	}
	r.wantStored(d, content)
}

func TestBackgroundIsBounded(t *testing.T) {
	one, d1 := random(1 << 20)
	two, d2 := random(1<<20 + 1)
	r, other := newRig(t, func(s *setup) { s.MaxBackground = 1 }), elsewhere(t, one, two)
	answer1, release := held(one, 100_000)
	answer2, _ := held(two, 100_000)
	blobScript(other, d1, answer1)
	blobScript(other, d2, answer2)
	ctx, leave := context.WithCancel(t.Context())
	if _, err := r.Blob(ctx, in(app, d1, from(t, len(one), other))); err != nil {
		t.Fatal(err)
	}
	leave()
	r.eventually("one is in the background", func() bool { return r.holdersOf(d1) == 0 })
	ctx, leave = context.WithCancel(t.Context())
	if _, err := r.Blob(ctx, in(app, d2, from(t, len(two), other))); err != nil {
		t.Fatal(err)
	}
	leave()
	r.eventually("the second is given up", func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		return len(r.fetchesOf(d2)) == 0 && len(r.fetchesOf(d1)) == 1
	})
	release()
	r.wantStored(d1, one)
	r.wantNotStored(d2)
}

// What a registry announces is fetched for a caller only, if it is much.
func TestLargeRestEndsWithItsLastCaller(t *testing.T) {
	content, d := random(1 << 20)
	for name, c := range map[string]struct {
		rest  int64
		known bool
		ends  bool
	}{
		"less than the bound": {950_000, true, false},
		"more":                {940_000, true, true},
		"more, as announced":  {940_000, false, true},
	} {
		t.Run(name, func(t *testing.T) {
			r, other := newRig(t, func(s *setup) { s.MaxBackgroundBytes = c.rest }), elsewhere(t, content)
			answer, release := held(content, 100_000)
			blobScript(other, d, answer)
			o := from(t, len(content), other)
			if !c.known {
				o.Size = -1
			}
			ctx, leave := context.WithCancel(t.Context())
			b, err := r.Blob(ctx, in(app, d, o))
			if err != nil {
				t.Fatal(err)
			}
			content, err := b.Open(ctx, 0)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := io.ReadFull(content, make([]byte, 100_000)); err != nil {
				t.Fatal(err)
			}
			content.Close()
			leave()
			if c.ends {
				r.wantNotStored(d)
				return
			}
			r.eventually("nobody waits", func() bool { return r.holdersOf(d) == 0 })
			release()
			r.eventually("it is stored", func() bool { _, err := r.store.Confirm(t.Context(), d); return err == nil })
		})
	}
}

// holdersOf is how many callers hold fetches of a digest, -1 without one.
func (r *rig) holdersOf(d digest.Digest) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	fetches := r.fetchesOf(d)
	if len(fetches) == 0 {
		return -1
	}
	holders := 0
	for _, f := range fetches {
		holders += f.holders
	}
	return holders
}

// fetchesOf are the fetches of a digest under way. r.mu is held.
func (r *rig) fetchesOf(d digest.Digest) []*fetch {
	var fetches []*fetch
	for key, f := range r.fetches {
		if key.digest == d {
			fetches = append(fetches, f)
		}
	}
	return fetches
}

func TestCloseDuringADownload(t *testing.T) {
	for name, driver := range drivers {
		t.Run(name, func(t *testing.T) {
			content, d := random(1 << 20)
			r, other := newRig(t, func(s *setup) { s.driver = driver }), elsewhere(t, content)
			answer, _ := held(content, 100_000)
			blobScript(other, d, answer)
			o := from(t, len(content), other)
			b, err := r.Blob(t.Context(), in(app, d, o))
			if err != nil {
				t.Fatal(err)
			}
			reader, err := b.Open(t.Context(), 0)
			if err != nil {
				t.Fatal(err)
			}
			io.ReadFull(reader, make([]byte, 50_000))
			r.Close()
			_, err = io.ReadAll(reader)
			wantError(t, err, ociregistry.CodeUnavailable, d.String())
			reader.Close()
			r.wantNotStored(d)
			_, err = r.Blob(t.Context(), in(app, d, o))
			if err == nil {
				_, err = r.pull(d, o)
			}
			wantError(t, err, ociregistry.CodeUnavailable, d.String())
			_, _, err = r.Manifest(t.Context(), in(app, d, o))
			wantError(t, err, ociregistry.CodeUnavailable, d.String())
		})
	}
}
