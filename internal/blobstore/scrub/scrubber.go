// Package scrub provides a scrubber, which verifies all blobs of a store in rounds, so that
// damage is found while another copy may still exist. It does not depend on Kubernetes.
//
// A round reads every blob once, at a bounded rate, and compares its digest. Damaged data
// is taken out of service (see [blobstore.Store.Quarantine]) and reported. The position of
// the round is kept in storage: a restart continues there. Replicas that scrub at the same
// time all continue from the furthest position; they read some blobs twice and skip none.
package scrub

import (
	"context"
	"errors"
	"fmt"
	"time"

	digest "github.com/opencontainers/go-digest"
	"golang.org/x/time/rate"
	"k8s.io/klog/v2"

	"weir.dev/weir/internal/blobstore"
)

// The defaults of Options.
const (
	DefaultBytesPerSecond = 8 << 20
	DefaultPause          = 24 * time.Hour
)

const (
	// burst is how many bytes are read without waiting.
	burst = 256 << 10
	// leastCharge is the least number of bytes that a blob counts for the rate: opening
	// one takes requests and seeks, and small blobs would cause thousands a second.
	leastCharge = 16 << 10
	// saveEvery is the time between two saves of the position, unless one blob takes longer.
	saveEvery = time.Minute
	// maxBatch bounds how many blobs are listed at a time.
	maxBatch = 1000
	// retryAfter is the pause after a failure of storage.
	retryAfter = 10 * time.Second
	// lookAgain bounds the wait for the next round, which another replica may begin.
	lookAgain = time.Hour
	// saveTimeout bounds saving the position, which the end of the process waits for.
	saveTimeout = 10 * time.Second
)

// Damage is a blob whose data has another digest.
type Damage struct {
	Digest digest.Digest
	// Size is how many bytes the damaged data has.
	Size int64
	// Err is a *blobstore.DigestMismatch, joined with the failure to take the data out of
	// service if that failed. Then the blob is reported again in the next round.
	Err error
}

// Options configure a Scrubber.
type Options struct {
	Store *blobstore.Store
	// BytesPerSecond bounds reading from storage; default 8 MiB.
	BytesPerSecond int64
	// Pause is the time from the start of a round to that of the next one, unless the
	// round takes longer; default 24 hours.
	Pause time.Duration
	// OnDamage is called for every damaged blob, in the goroutine of Run; it may be nil.
	OnDamage func(ctx context.Context, d Damage)
	// Now is the clock, time.Now when nil.
	Now func() time.Time
}

// Scrubber verifies all blobs of a store.
type Scrubber struct {
	o       Options
	limiter *rate.Limiter
}

// New makes a Scrubber. It does not touch storage.
func New(o Options) (*Scrubber, error) {
	if o.Store == nil {
		return nil, errors.New("setting up the scrubber: Store is required")
	}
	if o.BytesPerSecond < 0 || o.Pause < 0 {
		return nil, fmt.Errorf("setting up the scrubber: BytesPerSecond (%d) and Pause (%s) must not be negative", o.BytesPerSecond, o.Pause)
	}
	if o.BytesPerSecond == 0 {
		o.BytesPerSecond = DefaultBytesPerSecond
	}
	if o.Pause == 0 {
		o.Pause = DefaultPause
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	registerMetrics()
	return &Scrubber{o: o, limiter: rate.NewLimiter(rate.Limit(o.BytesPerSecond), burst)}, nil
}

// Run verifies until ctx ends, and returns nil after all its work has ended.
// Failures of storage are logged and tried again.
func (s *Scrubber) Run(ctx context.Context) error {
	logger := klog.LoggerWithName(klog.FromContext(ctx), "scrub")
	ctx = klog.NewContext(ctx, logger)
	for ctx.Err() == nil {
		if err := s.step(ctx); err != nil && ctx.Err() == nil {
			logger.Error(err, "Verifying blobs failed; retrying", "in", retryAfter)
			wait(ctx, retryAfter)
		}
	}
	return nil
}

// step waits for the next round, or does a part of the current one.
func (s *Scrubber) step(ctx context.Context) error {
	position, err := s.o.Store.ScrubPosition(ctx)
	if err != nil {
		return err
	}
	if !position.Finished.IsZero() {
		lastRound.Set(float64(position.Finished.Unix()))
	}
	position, pause := plan(position, s.o.Now(), s.o.Pause)
	if pause > 0 {
		wait(ctx, min(pause, lookAgain))
		return nil
	}
	blobs, err := s.list(ctx, position.After)
	if err != nil {
		return err
	}
	if len(blobs) == 0 {
		position.Finished = s.o.Now()
		klog.FromContext(ctx).Info("Verified all blobs", "since", position.RoundStarted)
		return s.save(ctx, position)
	}
	return s.verifyAll(ctx, position, blobs)
}

// errEnough ends a walk.
var errEnough = errors.New("the page is full")

// list returns the next blobs: about as many as are verified until the position is saved.
func (s *Scrubber) list(ctx context.Context, after string) (blobs []blobstore.Entry, err error) {
	left := s.o.BytesPerSecond * int64(saveEvery/time.Second)
	err = s.o.Store.WalkBlobs(ctx, after, func(e blobstore.Entry) error {
		if e.Kind != blobstore.KindBlob {
			return nil
		}
		blobs = append(blobs, e)
		if left -= max(e.Size, leastCharge); left <= 0 || len(blobs) == maxBatch {
			return errEnough
		}
		return nil
	})
	if errors.Is(err, errEnough) {
		err = nil
	}
	return blobs, err
}

// verifyAll verifies blobs, for about as long as saveEvery, and saves how far it came.
func (s *Scrubber) verifyAll(ctx context.Context, position blobstore.ScrubPosition, blobs []blobstore.Entry) error {
	began := s.o.Now()
	for _, e := range blobs {
		s.verify(ctx, e)
		if ctx.Err() != nil {
			break
		}
		position.After = e.Path
		if s.o.Now().Sub(began) >= saveEvery {
			break
		}
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), saveTimeout)
	defer cancel()
	return s.save(ctx, position)
}

// save records a position, unless another replica has come further.
func (s *Scrubber) save(ctx context.Context, position blobstore.ScrubPosition) error {
	stored, err := s.o.Store.ScrubPosition(ctx)
	if err != nil || !stored.RoundStarted.After(s.o.Now().Add(s.o.Pause)) && ahead(stored, position) {
		return err
	}
	return s.o.Store.SetScrubPosition(ctx, position)
}

// verify verifies a blob.
func (s *Scrubber) verify(ctx context.Context, e blobstore.Entry) {
	if s.limiter.WaitN(ctx, leastCharge) != nil {
		return
	}
	charged := leastCharge
	size, err := s.o.Store.VerifyPaced(ctx, e.Digest, func(ctx context.Context, n int) error {
		bytesTotal.Add(float64(n))
		free := min(charged, n)
		charged -= free
		return s.limiter.WaitN(ctx, n-free)
	})
	var mismatch *blobstore.DigestMismatch
	switch {
	case ctx.Err() != nil:
	case err == nil:
		blobsTotal.Inc()
	case errors.Is(err, blobstore.ErrUnknown): // deleted since it was listed
	case errors.As(err, &mismatch):
		blobsTotal.Inc()
		s.quarantine(ctx, Damage{Digest: e.Digest, Size: size, Err: err})
	default:
		// A failure to read is no proof of damage: storage may be unavailable. The round
		// continues slowly, so that one file on a bad sector does not stop it.
		failuresTotal.Inc()
		klog.FromContext(ctx).Error(err, "Reading a blob failed; the next round retries", "digest", e.Digest)
		wait(ctx, retryAfter)
	}
}

// quarantine takes damaged data out of service and reports it.
func (s *Scrubber) quarantine(ctx context.Context, d Damage) {
	quarantined, err := s.o.Store.Quarantine(ctx, d.Digest)
	if ctx.Err() != nil || errors.Is(err, blobstore.ErrUnknown) || err == nil && !quarantined {
		return // the process ends, or the blob was deleted or repaired meanwhile
	}
	d.Err = errors.Join(d.Err, err)
	damagedTotal.Inc()
	klog.FromContext(ctx).Error(d.Err, "A blob is damaged; push it again", "digest", d.Digest, "bytes", d.Size, "outOfService", quarantined)
	if s.o.OnDamage != nil {
		s.o.OnDamage(ctx, d)
	}
}

// wait waits for a time or for the end of ctx.
func wait(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
