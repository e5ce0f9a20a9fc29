package scrub

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	storagedriver "github.com/distribution/distribution/v3/registry/storage/driver"
	digest "github.com/opencontainers/go-digest"
	"go.uber.org/goleak"
	"k8s.io/component-base/metrics/testutil"

	"weir.dev/weir/internal/blobstore"
	"weir.dev/weir/internal/blobstore/drivers"
)

func TestMain(m *testing.M) {
	// What the object stores' libraries start when they are imported.
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("go.opencensus.io/stats/view.(*worker).start"))
}

// watched is storage that notes which blobs are read, and can fail.
type watched struct {
	storagedriver.StorageDriver
	mu   sync.Mutex
	read []string
	fail func(path string) error
}

func (w *watched) Reader(ctx context.Context, path string, offset int64) (io.ReadCloser, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.fail != nil {
		if err := w.fail(path); err != nil {
			return nil, err
		}
	}
	if strings.HasSuffix(path, "/data") {
		w.read = append(w.read, path)
	}
	return w.StorageDriver.Reader(ctx, path, offset)
}

func (w *watched) taken() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	taken := w.read
	w.read = nil
	return taken
}

func (w *watched) failWith(fail func(path string) error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.fail = fail
}

func open(t *testing.T, name string) *watched {
	t.Helper()
	parameters := map[string]any{}
	if name == "filesystem" {
		parameters["rootdirectory"] = t.TempDir()
	}
	d, err := drivers.Open(context.Background(), name, parameters, "")
	if err != nil {
		t.Fatal(err)
	}
	return &watched{StorageDriver: d}
}

func storeOf(t *testing.T, d storagedriver.StorageDriver) *blobstore.Store {
	t.Helper()
	s, err := blobstore.New(blobstore.Options{Driver: d})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// fill stores blobs of one size, and returns them in the order in which they are verified.
func fill(t *testing.T, s *blobstore.Store, count, size int) (blobs []digest.Digest) {
	t.Helper()
	for i := range count {
		content := bytes.Repeat([]byte{byte(i)}, size)
		d := digest.FromBytes(content)
		if err := s.Put(t.Context(), d, content); err != nil {
			t.Fatal(err)
		}
		blobs = append(blobs, d)
	}
	slices.Sort(blobs)
	return blobs
}

func dataPath(d digest.Digest) string {
	return "/docker/registry/v2/blobs/sha256/" + d.Encoded()[:2] + "/" + d.Encoded() + "/data"
}

func pathsOf(blobs []digest.Digest) (paths []string) {
	for _, d := range blobs {
		paths = append(paths, dataPath(d))
	}
	return paths
}

// run runs a scrubber until the function it returns is called.
func run(t *testing.T, o Options) (stop func()) {
	t.Helper()
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	return func() {
		t.Helper()
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
}

func positionOf(t *testing.T, s *blobstore.Store) blobstore.ScrubPosition {
	t.Helper()
	position, err := s.ScrubPosition(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return position
}

func wantRead(t *testing.T, d *watched, want []string) {
	t.Helper()
	if got := d.taken(); !slices.Equal(got, want) {
		t.Errorf("read %q\nwant %q", got, want)
	}
}

// Every round reads every blob once, and the rounds begin a pause apart.
func TestRounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := open(t, "inmemory")
		s := storeOf(t, d)
		blobs := fill(t, s, 20, 100_000)
		d.taken()
		began := time.Now()
		stop := run(t, Options{Store: s})
		defer stop()
		for round := range 3 {
			elapse(time.Hour)
			wantRead(t, d, pathsOf(blobs))
			position := positionOf(t, s)
			if start := began.Add(time.Duration(round) * DefaultPause); !position.RoundStarted.Equal(start) || position.Finished.Before(start) {
				t.Errorf("round %d from %s to %s, want it to begin at %s", round, position.RoundStarted, position.Finished, start)
			}
			if got, err := testutil.GetGaugeMetricValue(lastRound); err != nil || got != float64(position.Finished.Unix()) {
				t.Errorf("the metric is %f, %v, want %d", got, err, position.Finished.Unix())
			}
			elapse(DefaultPause - time.Hour - time.Minute)
			wantRead(t, d, nil)
			elapse(time.Minute)
		}
	})
}

// The rate is kept, and small blobs count for it too.
func TestRate(t *testing.T) {
	for _, test := range []struct {
		count, size int
		want        time.Duration
	}{
		{10, 3_000_000, 30 * time.Second},
		{200, 10, 200 * leastCharge * time.Second / 1_000_000},
	} {
		synctest.Test(t, func(t *testing.T) {
			s := storeOf(t, open(t, "inmemory"))
			fill(t, s, test.count, test.size)
			before, _ := testutil.GetCounterMetricValue(bytesTotal)
			began := time.Now()
			stop := run(t, Options{Store: s, BytesPerSecond: 1_000_000})
			defer stop()
			elapse(time.Hour)
			took := positionOf(t, s).Finished.Sub(began)
			if took > test.want+time.Second || took < test.want-time.Second {
				t.Errorf("%d blobs of %d bytes took %s, want %s", test.count, test.size, took, test.want)
			}
			after, err := testutil.GetCounterMetricValue(bytesTotal)
			if err != nil || int(after-before) != test.count*test.size {
				t.Errorf("%f bytes are counted, %v", after-before, err)
			}
		})
	}
}

// Damaged blobs are taken out of service and reported, once.
func TestDamage(t *testing.T) {
	for _, name := range []string{"inmemory", "filesystem"} {
		synctest.Test(t, func(t *testing.T) {
			d := open(t, name)
			s, ctx := storeOf(t, d), t.Context()
			blobs := fill(t, s, 10, 1000)
			damaged := map[digest.Digest]int64{blobs[0]: 999, blobs[4]: 1000, blobs[9]: 0}
			for blob, size := range damaged {
				if err := d.PutContent(ctx, dataPath(blob), bytes.Repeat([]byte("x"), int(size))); err != nil {
					t.Fatal(err)
				}
			}
			before, _ := testutil.GetCounterMetricValue(damagedTotal)
			got := map[digest.Digest]int64{}
			stop := run(t, Options{Store: s, OnDamage: func(_ context.Context, d Damage) {
				var mismatch *blobstore.DigestMismatch
				if _, again := got[d.Digest]; again || !errors.As(d.Err, &mismatch) || mismatch.Want != d.Digest {
					t.Errorf("%+v, again: %t", d, again)
				}
				got[d.Digest] = d.Size
			}})
			elapse(3 * DefaultPause)
			stop()
			if !maps.Equal(got, damaged) {
				t.Errorf("damaged are %v, want %v", got, damaged)
			}
			for _, blob := range blobs {
				_, isDamaged := damaged[blob]
				if _, err := s.Stat(ctx, blob); errors.Is(err, blobstore.ErrUnknown) != isDamaged {
					t.Errorf("%s: %v", blob, err)
				}
			}
			if after, err := testutil.GetCounterMetricValue(damagedTotal); err != nil || after-before != 3 {
				t.Errorf("%f are counted, %v", after-before, err)
			}
		})
	}
}

// A restart continues where the last process stopped.
func TestGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := open(t, "inmemory")
		s := storeOf(t, d)
		blobs := fill(t, s, 40, 1_000_000)
		d.taken()
		began := time.Now()
		stop := run(t, Options{Store: s, BytesPerSecond: 1_000_000})
		elapse(10*time.Second + time.Second/2)
		stop()
		first := d.taken()
		if len(first) < 9 || len(first) > 12 {
			t.Fatalf("%d blobs were read in ten seconds", len(first))
		}
		elapse(time.Hour) // it was off
		stop = run(t, Options{Store: s, BytesPerSecond: 1_000_000})
		defer stop()
		elapse(time.Hour)
		// The one in the middle of which it stopped is read again.
		wantRead(t, d, pathsOf(blobs)[len(first)-1:])
		if position := positionOf(t, s); !position.RoundStarted.Equal(began) || position.Finished.IsZero() {
			t.Errorf("the round is %+v", position)
		}
	})
}

// A replica continues from the position of another one that is ahead.
func TestFollowsAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := open(t, "inmemory")
		s := storeOf(t, d)
		blobs := fill(t, s, 200, 1_000_000)
		d.taken()
		stop := run(t, Options{Store: s, BytesPerSecond: 1_000_000})
		defer stop()
		elapse(90 * time.Second)
		position := positionOf(t, s)
		position.After = dataPath(blobs[189])
		if err := s.SetScrubPosition(t.Context(), position); err != nil {
			t.Fatal(err)
		}
		elapse(time.Hour)
		read := d.taken()
		if len(read) > 135 || !slices.Equal(read[len(read)-10:], pathsOf(blobs)[190:]) {
			t.Errorf("%d blobs were read, %q at last", len(read), read[len(read)-10:])
		}
	})
}

// A blob that cannot be read is not damaged, and scrubbing continues after an outage.
func TestFailures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := open(t, "inmemory")
		s, ctx := storeOf(t, d), t.Context()
		blobs := fill(t, s, 10, 1000)
		d.taken()
		d.failWith(func(path string) error {
			if path == dataPath(blobs[3]) {
				return errors.New("a bad sector")
			}
			return nil
		})
		before, _ := testutil.GetCounterMetricValue(failuresTotal)
		stop := run(t, Options{Store: s, OnDamage: func(_ context.Context, d Damage) { t.Errorf("%+v", d) }})
		defer stop()
		elapse(time.Hour)
		wantRead(t, d, pathsOf(slices.Delete(slices.Clone(blobs), 3, 4)))
		if after, err := testutil.GetCounterMetricValue(failuresTotal); err != nil || after-before != 1 {
			t.Errorf("%f failures are counted, %v", after-before, err)
		}
		if _, err := s.Stat(ctx, blobs[3]); err != nil {
			t.Error(err)
		}
		d.failWith(func(string) error { return errors.New("nothing answers") })
		elapse(DefaultPause)
		d.failWith(nil)
		elapse(time.Hour)
		wantRead(t, d, pathsOf(blobs))
	})
}

// After a damaged position a new round begins.
func TestDamagedPosition(t *testing.T) {
	for _, content := range []string{"", "{", "[]", `{"roundStarted":"2999-01-01T00:00:00Z"}`, `{"roundStarted":"2999-01-01T00:00:00Z","finished":"2999-01-01T00:00:00Z"}`,
		fmt.Sprintf(`{"after":%q}`, strings.Repeat("x", 70_000))} {
		synctest.Test(t, func(t *testing.T) {
			d := open(t, "inmemory")
			s := storeOf(t, d)
			blobs := fill(t, s, 5, 1000)
			d.taken()
			if err := d.PutContent(t.Context(), "/docker/registry/v2/_scrub", []byte(content)); err != nil {
				t.Fatal(err)
			}
			began := time.Now()
			stop := run(t, Options{Store: s})
			defer stop()
			elapse(time.Hour)
			wantRead(t, d, pathsOf(blobs))
			if position := positionOf(t, s); !position.RoundStarted.Equal(began) || position.Finished.IsZero() {
				t.Errorf("after %q the round is %+v", content, position)
			}
		})
	}
}

func TestNew(t *testing.T) {
	s := storeOf(t, open(t, "inmemory"))
	for _, o := range []Options{{}, {Store: s, BytesPerSecond: -1}, {Store: s, Pause: -1}} {
		if _, err := New(o); err == nil {
			t.Errorf("%+v is taken", o)
		}
	}
}

// elapse lets time pass in a synctest bubble, whose clock jumps once all goroutines wait, and
// returns when they wait again.
func elapse(d time.Duration) {
	<-time.After(d) // of the bubble's clock
	synctest.Wait()
}
