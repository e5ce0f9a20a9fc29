package conformance

import (
	"fmt"
	"runtime"
	"sync"
	"testing"
)

// reporter is where a check tells what it finds: a test, or a list.
type reporter interface {
	Helper()
	Logf(format string, args ...any)
	Errorf(format string, args ...any)
	// Fatalf ends the check or step.
	Fatalf(format string, args ...any)
	Failed() bool
	// in runs a part under a name and reports whether it found nothing.
	in(name string, f func(reporter)) bool
}

type testReporter struct{ *testing.T }

func (r testReporter) in(name string, f func(reporter)) bool {
	return r.Run(name, func(t *testing.T) { f(testReporter{t}) })
}

// recorder keeps what is found.
type recorder struct {
	mu    sync.Mutex
	found []string
	// about is told when something is found.
	about []string
}

func (r *recorder) Helper() {}

func (r *recorder) Logf(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.about = append(r.about, fmt.Sprintf(format, args...))
}

func (r *recorder) Errorf(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.found = append(r.found, fmt.Sprintf(format, args...))
}

func (r *recorder) Fatalf(format string, args ...any) {
	r.Errorf(format, args...)
	runtime.Goexit()
}

func (r *recorder) Failed() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.found) > 0
}

// in gives the part a goroutine of its own, which Fatalf ends.
func (r *recorder) in(name string, f func(reporter)) bool {
	part := &recorder{}
	done := make(chan struct{})
	go func() {
		defer close(done)
		f(part)
	}()
	<-done
	prefix := ""
	if name != "" {
		prefix = name + ": "
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, found := range part.found {
		r.found = append(r.found, prefix+found)
	}
	r.about = append(r.about, part.about...)
	return len(part.found) == 0
}

// failures is what was found, followed by what was told about it.
func (r *recorder) failures() []string {
	if len(r.found) == 0 {
		return nil
	}
	return append(r.found, r.about...)
}
