package upstream

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/sync/semaphore"
)

// DownloadOptions bound blobs that are streamed.
//
// There is no limit to the time a download takes, for there is none to the size of a
// layer; there is one to the time in which nothing, or next to nothing, moves.
type DownloadOptions struct {
	// Concurrency is the largest number of downloads under way from one host; default 16.
	// Requests are counted apart (HostOptions.Concurrency).
	Concurrency int
	// MaxWait is how long a download may wait for its turn before it fails with
	// CodeTooManyRequests; default 2 min.
	MaxWait time.Duration
	// Stall is how long a host may send nothing before the download fails with
	// CodeUnavailable; default 30 s.
	Stall time.Duration
	// Window and MinRate bound slowness, whether of the host or of the
	// reader: a download that moves less than MinRate bytes per second over a Window is
	// ended with CodeUnavailable, so that it does not keep others from their turn;
	// default 60 s and 1 KiB/s.
	Window  time.Duration
	MinRate int64
}

func defaultDownloads() DownloadOptions {
	return DownloadOptions{Concurrency: 16, MaxWait: 2 * time.Minute, Stall: 30 * time.Second, Window: time.Minute, MinRate: 1 << 10}
}

// least is how many bytes have to move in a window.
func (d DownloadOptions) least() int64 {
	return max(int64(d.Window.Seconds()*float64(d.MinRate)), 1)
}

// downloads are those of one host; the counts are guarded by its budget's lock.
type downloads struct {
	opts             DownloadOptions
	slots            *semaphore.Weighted
	running, waiting int
}

func newDownloads(opts DownloadOptions) downloads {
	return downloads{opts: opts, slots: semaphore.NewWeighted(int64(opts.Concurrency))}
}

func (d *downloads) idle() bool { return d.running == 0 && d.waiting == 0 }

// acquireDownload waits for a turn to download from a host. On success the caller
// must release it with releaseDownload.
func (b *budgets) acquireDownload(ctx context.Context, name string) (*hostBudget, *Error) {
	h := b.enter(name)
	h.count(&h.downloads.waiting, 1)
	h.count(&h.waiting, -1) // entering counted it among requests
	defer h.count(&h.downloads.waiting, -1)
	wait, cancel := context.WithTimeout(ctx, h.downloads.opts.MaxWait)
	defer cancel()
	if err := h.downloads.slots.Acquire(wait, 1); err != nil {
		if ctx.Err() != nil {
			return nil, canceled(context.Cause(ctx))
		}
		return nil, &Error{Code: CodeTooManyRequests, Text: fmt.Sprintf("too many downloads from %s are waiting", name)}
	}
	h.count(&h.downloads.running, 1)
	return h, nil
}

func (h *hostBudget) releaseDownload() {
	h.count(&h.downloads.running, -1)
	h.downloads.slots.Release(1)
}
