package importer

import (
	"context"
	"fmt"
	"runtime/debug"
	"sync"
	"sync/atomic"

	"k8s.io/klog/v2"

	"weir.dev/weir/internal/pullsecrets"
	"weir.dev/weir/internal/reference"
)

// session is the state that the parts of one request share: open repositories, slots for calls, and
// the bytes read. It lives as long as the request.
type session struct {
	*Importer
	creds       pullsecrets.Credentials
	withoutText bool
	slots       *slots
	read        *atomic.Int64 // bytes kept by this request, against Limits.RequestSize

	mu           sync.Mutex
	repositories map[repositoryKey]*repository
}

func (i *Importer) newSession(creds pullsecrets.Credentials, withoutText bool) *session {
	return &session{
		Importer:     i,
		creds:        creds,
		withoutText:  withoutText,
		slots:        newSlots(i.options.Concurrency),
		read:         new(atomic.Int64),
		repositories: map[repositoryKey]*repository{},
	}
}

// withCredentials returns a session with other credentials. It shares the bounds of s, but no
// content that was read with the credentials of s.
func (s *session) withCredentials(creds pullsecrets.Credentials) *session {
	other := s.newSession(creds, s.withoutText)
	other.slots, other.read = s.slots, s.read
	return other
}

// open returns the repository of a pull spec. Spellings that differ only in defaults share it; the
// names of Docker Hub do not, because rules and credentials may distinguish them.
func (s *session) open(spec reference.PullSpec, insecure bool) (*repository, error) {
	full := spec.WithDefaults()
	if full.Name == "" {
		return nil, errNoReference
	}
	key := repositoryKey{host: full.Registry, path: full.RepositoryName(), insecure: insecure, byTag: spec.ID == "" && spec.Tag != ""}
	s.mu.Lock()
	defer s.mu.Unlock()
	if r, ok := s.repositories[key]; ok {
		return r, nil
	}
	remote, err := s.options.Registries.Repository(spec, insecure, s.creds)
	if err != nil {
		return nil, err
	}
	r := &repository{session: s, key: key, remote: remote}
	s.repositories[key] = r
	return r, nil
}

// slots bound the calls in flight, per registry host and in total. Waiting for one host occupies no
// slot of another.
type slots struct {
	perHost int
	all     chan struct{}

	mu    sync.Mutex
	hosts map[string]chan struct{}
}

// hostsAtOnce is how many hosts can be at their bound at the same time.
const hostsAtOnce = 10

func newSlots(perHost int) *slots {
	return &slots{
		perHost: perHost,
		all:     make(chan struct{}, perHost*hostsAtOnce),
		hosts:   map[string]chan struct{}{},
	}
}

// acquire waits for a slot for one call to host and returns the function that frees it.
func (s *slots) acquire(ctx context.Context, host string) (release func(), err error) {
	s.mu.Lock()
	slot, ok := s.hosts[host]
	if !ok {
		slot = make(chan struct{}, s.perHost)
		s.hosts[host] = slot
	}
	s.mu.Unlock()
	for i, c := range []chan struct{}{slot, s.all} {
		select {
		case c <- struct{}{}:
		case <-ctx.Done():
			if i == 1 {
				<-slot
			}
			return nil, context.Cause(ctx)
		}
	}
	return func() { <-s.all; <-slot }, nil
}

// memo runs work once per key and returns its result, including errors, to all callers, also to
// concurrent ones.
type memo[K comparable, V any] struct {
	mu      sync.Mutex
	entries map[K]*memoEntry[V]
}

type memoEntry[V any] struct {
	done  chan struct{}
	value V
	err   error
}

func (m *memo[K, V]) do(ctx context.Context, key K, work func() (V, error)) (V, error) {
	m.mu.Lock()
	if m.entries == nil {
		m.entries = map[K]*memoEntry[V]{}
	}
	e, ok := m.entries[key]
	if !ok {
		e = &memoEntry[V]{done: make(chan struct{}), err: errDefect} // errDefect stays if work panics
		m.entries[key] = e
	}
	m.mu.Unlock()
	if !ok {
		defer close(e.done)
		e.value, e.err = work()
		return e.value, e.err
	}
	select {
	case <-e.done:
		return e.value, e.err
	case <-ctx.Done():
		var zero V
		return zero, context.Cause(ctx)
	}
}

// guard runs work and converts a panic to an error: a defect triggered by one manifest must not end
// the process, or fail the other images of the request.
func guard(ctx context.Context, ref string, work func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			klog.FromContext(ctx).Error(fmt.Errorf("panic: %s", foreignText(fmt.Sprint(p))), "Importing an image failed unexpectedly", "image", ref, "stack", string(debug.Stack()))
			err = errDefect
		}
	}()
	return work()
}

// forEach runs work(0) … work(n-1), up to limit of them at once, starting in order. After a failure
// it starts no more. The error is that of the lowest index that failed, so it does not depend on
// timing: everything below an index is started before it.
func forEach(ctx context.Context, n, limit int, ref string, work func(i int) error) error {
	errs := make([]error, n)
	var next atomic.Int64
	var failed atomic.Bool
	var wait sync.WaitGroup
	for range min(n, limit) {
		wait.Go(func() {
			for {
				if failed.Load() {
					return
				}
				// Every assigned index runs: a failure at a higher one must not hide its own.
				i := int(next.Add(1) - 1)
				if i >= n {
					return
				}
				if errs[i] = guard(ctx, ref, func() error { return work(i) }); errs[i] != nil {
					failed.Store(true)
				}
			}
		})
	}
	wait.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
