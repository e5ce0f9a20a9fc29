package conformance

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// check is one thing to look at. Its name is unique in its area.
type check struct {
	name string
	run  func(*C)
}

// area is a group of checks about one subject; they share a repository.
type area struct {
	name   string
	checks []check
}

// Names are the names of all checks, "area/check", in the order in which they run.
func Names() []string {
	var names []string
	for _, a := range areas() {
		for _, k := range a.checks {
			names = append(names, a.name+"/"+k.name)
		}
	}
	return names
}

// Run runs all checks as subtests, each as "<area>/<check>", the areas at the same
// time, and then tests that every check of the requirements table has run.
func Run(t *testing.T, target Target) {
	s := newSession(target)
	t.Cleanup(s.close)
	t.Logf("seed %d", s.seed)
	t.Run("checks", func(t *testing.T) {
		for _, a := range areas() {
			t.Run(a.name, func(t *testing.T) {
				t.Parallel()
				for _, k := range a.checks {
					t.Run(k.name, func(t *testing.T) {
						s.run(t.Context(), testReporter{t}, a.name, k)
					})
				}
			})
		}
	})
	t.Run("requirements", func(t *testing.T) {
		for _, r := range Requirements {
			for _, name := range r.Checks {
				if !s.hasRun(name) {
					t.Errorf("%s: the check %s did not run", r, name)
				}
			}
		}
	})
}

// Result is the outcome of one check.
type Result struct {
	Name     string // "area/check"
	Failures []string
	// Took is the time that the check needed.
	Took time.Duration
}

// Collect runs the checks whose names begin with prefix and returns their outcomes in
// order. Different areas run at the same time.
func Collect(ctx context.Context, target Target, prefix string) []Result {
	s := newSession(target)
	defer s.close()
	all := areas()
	results := make([][]Result, len(all))
	slots := make(chan struct{}, 4)
	var wg sync.WaitGroup
	for i, a := range all {
		wg.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			for _, k := range a.checks {
				if name := a.name + "/" + k.name; strings.HasPrefix(name, prefix) {
					began, r := time.Now(), &recorder{}
					r.in("", func(r reporter) { s.run(ctx, r, a.name, k) })
					results[i] = append(results[i], Result{Name: name, Failures: r.failures(), Took: time.Since(began)})
				}
			}
		})
	}
	wg.Wait()
	var flat []Result
	for _, r := range results {
		flat = append(flat, r...)
	}
	return flat
}

// session is one run of the suite.
type session struct {
	target Target
	client *http.Client
	seed   uint64
	// mark is in all names that this run makes up, so that runs do not meet.
	mark   string
	serial atomic.Uint64

	mu  sync.Mutex
	ran map[string]bool
}

func newSession(target Target) *session {
	target.URL = strings.TrimSuffix(target.URL, "/")
	target.Options = target.Options.withDefaults()
	seed := target.Options.Seed
	if seed == 0 {
		seed = rand.Uint64()
	}
	transport := target.Transport
	if transport == nil {
		own := http.DefaultTransport.(*http.Transport).Clone()
		own.MaxIdleConnsPerHost = 32
		own.DisableCompression = true // what is on the wire is what is looked at
		own.Proxy = nil
		transport = own
	}
	return &session{
		target: target,
		client: &http.Client{Transport: transport, CheckRedirect: redirects},
		seed:   seed,
		// Small and unlike what other runs with another seed have.
		mark: fmt.Sprintf("%05x", (seed^seed>>20^seed>>40)&0xfffff),
		ran:  map[string]bool{},
	}
}

func (s *session) close() { s.client.CloseIdleConnections() }

func (s *session) run(ctx context.Context, r reporter, area string, k check) {
	name := area + "/" + k.name
	s.mu.Lock()
	s.ran[name] = true
	s.mu.Unlock()
	c := &C{reporter: r, ctx: ctx, session: s, area: area, name: name}
	c.content = s.generator()
	defer func() {
		if !r.Failed() {
			return
		}
		for _, line := range citations(name) {
			r.Logf("stands for %s", line)
		}
	}()
	k.run(c)
}

func (s *session) hasRun(name string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ran[name]
}

// generator makes content like none that was made before.
func (s *session) generator() *generator {
	return newGenerator(s.seed, s.serial.Add(1))
}

// C is what a check works with: where findings are told, the registry, content.
type C struct {
	reporter
	ctx     context.Context
	session *session
	area    string
	name    string
	content *generator
}

// Step runs a part of a check under a name of its own, and reports whether nothing
// was found.
func (c *C) Step(name string, f func(c *C)) bool {
	return c.in(name, func(r reporter) {
		step := *c
		step.reporter = r
		f(&step)
	})
}

func (c *C) options() Options { return c.session.target.Options }

// repository is where the checks of an area push to.
func (c *C) repository() string {
	return fmt.Sprintf("%s-%s-%s", c.session.target.Repository, c.area, c.session.mark)
}

// freshRepository is a repository that nobody else uses.
func (c *C) freshRepository() string {
	return fmt.Sprintf("%s-%d", c.repository(), c.session.serial.Add(1))
}
