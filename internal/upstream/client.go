package upstream

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"weir.dev/weir/internal/caches"
	"weir.dev/weir/internal/pullsecrets"
	"weir.dev/weir/internal/reference"
	"weir.dev/weir/internal/registryrules"
)

// Client speaks to registries. One is shared by the process: it holds the
// connections, the logins, the budgets of hosts and the work in flight. It is
// safe for concurrent use.
type Client struct {
	opts    Options
	rules   atomic.Pointer[registryrules.Rules]
	budgets *budgets

	secure, insecure *http.Client

	// See makeCaches.
	pings     *caches.Cache[string, pinged]
	sessions  *caches.Cache[string, *session]
	preferred *caches.Cache[string, string]

	pingFlights  flights[pinged]
	tokenFlights flights[token]
	headFlights  flights[Descriptor]
	getFlights   flights[Manifest]
	blobFlights  flights[[]byte]

	base   context.Context
	cancel context.CancelFunc
	// closing is held for writing while Close cancels base, so that no work
	// begins after Close waits for it.
	closing sync.RWMutex
	work    sync.WaitGroup
}

// errClosed is the cause of failures after Close.
var errClosed = errors.New("the upstream client is closed")

// NewClient returns a Client without rules: every pull spec is fetched from
// where it points until SetRules is called. The error names the addresses that cannot be read.
func NewClient(opts Options) (*Client, error) {
	addresses, errs := opts.Addresses.policy(field.NewPath("addresses"))
	if len(errs) > 0 {
		return nil, fmt.Errorf("upstream options: %w", errs.ToAggregate())
	}
	c := &Client{opts: opts, budgets: newBudgets(budgetOptions{opts.Hosts, opts.bounds}, opts.Downloads)}
	c.secure, c.insecure = newHTTPClient(opts, addresses, false), newHTTPClient(opts, addresses, true)
	c.base, c.cancel = context.WithCancel(context.Background())
	c.makeCaches()
	return c, nil
}

// Close gives up what is in flight, waits for it to end and closes idle
// connections. The Client is of no use afterwards.
func (c *Client) Close() {
	c.closing.Lock()
	c.cancel()
	c.closing.Unlock()
	c.work.Wait()
	c.secure.CloseIdleConnections()
	c.insecure.CloseIdleConnections()
}

// start runs work that Close waits for; false when the client is closed.
func (c *Client) start(work func()) bool {
	c.closing.RLock()
	defer c.closing.RUnlock()
	if c.base.Err() != nil {
		return false
	}
	c.work.Go(work)
	return true
}

// SetRules replaces the rules. Repositories opened before keep the old ones.
// What is known about hosts (logins, budgets) stays.
func (c *Client) SetRules(r *registryrules.Rules) { c.rules.Store(r) }

// Rules are the rules in force; nil when none were set, which *registryrules.Rules allows.
func (c *Client) Rules() *registryrules.Rules { return c.rules.Load() }

// Budgets describes the budget of every host that is remembered, sorted by host.
func (c *Client) Budgets() []BudgetSnapshot { return c.budgets.snapshot() }

// Repository opens the repository of a pull spec with what one request brings
// along. insecure makes all sources insecure, mirrors included: certificates are not
// verified, and plain http is tried when https cannot be spoken. Without it the rules say
// which are. A nil creds is Anonymous.
//
// Rules may have mirrors for tags only or for digests only. When ref has a tag, all
// that is asked of the repository follows the rules for tags, blobs and the parts of
// lists included; without one, each question those for what it asks.
//
// No registry is contacted. The error is an *Error: CodeName when the pull
// spec names no repository, CodeBlocked when the rules forbid all its sources.
func (c *Client) Repository(ref reference.PullSpec, insecure bool, creds pullsecrets.Credentials) (*Repository, error) {
	if creds == nil {
		creds = pullsecrets.None
	}
	repo := ref.AsRepository()
	spec := repo.WithDefaults().AsRepository()
	if err := registryrules.CheckRepository(spec.Registry, spec.RepositoryName()); err != nil {
		return nil, &Error{Code: CodeName, Ref: ref.String(), Text: "unable to parse docker reference: " + err.Error(), Err: err}
	}
	r := &Repository{client: c, name: repo, spec: spec, insecure: insecure, creds: creds, rules: c.rules.Load()}
	r.byTag = ref.Tag != "" && ref.ID == ""
	if err := r.blocked(ref); err != nil {
		return nil, err
	}
	return r, nil
}
