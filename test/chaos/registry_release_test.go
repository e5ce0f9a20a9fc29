package chaos_test

import (
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"testing"
	"time"

	"weir.dev/weir/internal/testenv"
)

// progress counts what of the links was handed over or removed: it grows by work.
func (d *deletions) progress(t *testing.T) (count int) {
	t.Helper()
	for _, f := range d.formers {
		count += linksOf(t, d.dataDir, f.copyRepo(), f.copied) - linksOf(t, d.dataDir, f.repo(), f.stream)
	}
	return count
}

// work is by how much progress grows: every link is handed over, and then removed.
func (d *deletions) work() (links int) {
	for _, f := range d.formers {
		for _, tr := range f.trees {
			links += 2 * tr.parts().count()
		}
	}
	return links
}

// killReleasing kills a server that removes links, at a random point before it has come to
// a place. At the end nothing is left to be interrupted: a busy machine can get there in the
// round before, since the kill is late.
func (d *deletions) killReleasing(t *testing.T, before, end int) {
	t.Helper()
	begun, port := d.progress(t), freePort(t)
	if begun >= end {
		return
	}
	at := begun + 1 + rand.N(max(before-begun, 1))
	p := launchAgain(t, d.dataDir, "--registry-port", port)
	reads := d.watch(t, p, registryClient{"127.0.0.1:" + port, d.c.authorization})
	ticks := time.NewTicker(time.Millisecond)
	defer ticks.Stop()
	deadline := time.After(2 * time.Minute)
	for d.progress(t) < at {
		select {
		case <-ticks.C:
		case <-p.ended:
			t.Fatalf("the server ended: %v\n%s", p.err, p.output)
		case <-deadline:
			t.Fatalf("after two minutes %d of the links are done, not %d", d.progress(t), at)
		}
	}
	p.kill()
	t.Logf("progress was %d, killed at %d, which was to be at %d, after %d reads", begun, d.progress(t), at, reads())
}

// freePort is a port that no system gives to connections, so that it stays free.
func freePort(t *testing.T) string {
	t.Helper()
	var port string
	testenv.Eventually(t, "a free port", func() error {
		port = strconv.Itoa(20000 + rand.N(10000))
		l, err := net.Listen("tcp", "127.0.0.1:"+port)
		if err != nil {
			return err
		}
		return l.Close()
	})
	return port
}

// watch reads copies and what is gone until the server ends. The result waits for that, and
// is how many reads were answered.
func (d *deletions) watch(t *testing.T, p *process, c registryClient) (wait func() int) {
	t.Helper()
	reads, done := 0, make(chan struct{})
	go func() {
		defer close(done)
		for {
			for _, f := range d.formers {
				reads += d.watchOne(t, c, f)
			}
			select {
			case <-p.ended:
				return
			case <-time.After(time.Millisecond):
			}
		}
	}()
	return func() int { <-done; return reads }
}

// watchOne reads a random part of a former stream. Answers that a server gives while it
// starts or ends do not count.
func (d *deletions) watchOne(t *testing.T, c registryClient, f *former) int {
	ctx := t.Context()
	tr := f.trees[rand.N(len(f.trees))].parts()
	manifest, blob := tr.manifests[rand.N(len(tr.manifests))].String(), tr.blobs[rand.N(len(tr.blobs))]
	reads := 0
	for _, path := range []string{manifestOf(f.copyRepo(), manifest), blobOf(f.copyRepo(), blob)} {
		if reply, err := c.send(ctx, http.MethodGet, path, nil); err == nil {
			reads++
			if reply.status == http.StatusNotFound {
				t.Errorf("the copy is not whole: GET %s: %d %s", path, reply.status, reply.body)
			}
		}
	}
	for _, path := range []string{manifestOf(f.repo(), manifest), blobOf(f.repo(), blob)} {
		if reply, err := c.as(f.tenant).send(ctx, http.MethodGet, path, nil); err == nil && reply.status == http.StatusOK {
			t.Errorf("the next owner reads %s", path)
		}
	}
	return reads
}
