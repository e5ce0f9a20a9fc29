package upstream

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"weir.dev/weir/internal/caches"
)

// Options configure a Client. The zero value works: every field has a default.
type Options struct {
	// RootCAs are CAs trusted for registries; nil means the system's.
	// See LoadCAs.
	RootCAs *x509.CertPool
	// Addresses says which addresses may be contacted.
	Addresses AddressPolicy
	// Limits bound what is read.
	Limits Limits
	// Timeouts bound how long things take.
	Timeouts Timeouts
	// Budget bounds what one upstream host is asked.
	Budget BudgetOptions
	// Downloads bounds blobs that are streamed (OpenBlob).
	Downloads DownloadOptions
	// UserAgent is sent with every request; default "weir".
	UserAgent string
	// Caches bound the memory for what is remembered of registries, beside the bounds of each
	// cache; nil is without such a bound.
	Caches *caches.Pool
	// Observer is told about every request; nil for nobody.
	Observer Observer
	// Proxy picks a proxy for a request; default http.ProxyFromEnvironment.
	Proxy func(*http.Request) (*url.URL, error)
}

// Limits bound what is read from upstream. Zero fields take their default;
// sizes are in bytes, counted after content decoding.
type Limits struct {
	// Manifest is the largest manifest; default 8 MiB.
	Manifest int64
	// Blob is the largest blob when the caller names no limit; default 8 MiB.
	Blob int64
	// TagPage is the largest page of a tag list; default 8 MiB.
	TagPage int64
	// Tags is the largest number of tags of a repository; default 100,000.
	Tags int
	// TagPages is the largest number of pages of a tag list; default 1,000.
	TagPages int
	// Token is the largest answer of a token realm; default 1 MiB.
	Token int64
	// ErrorBody is how much of an error answer is read; default 64 KiB.
	ErrorBody int64
	// Headers is the largest response header; default 64 KiB.
	Headers int64
	// Redirects is the largest number of redirects followed; default 5.
	Redirects int
	// RetryAfter is the longest Retry-After believed; default 5 min. One request that finds
	// out more every five minutes is a burden to no registry, while limits that are raised,
	// and logins that are changed, are noticed soon.
	RetryAfter time.Duration
	// Sessions is how many logins (repository and credential) are remembered; default 4,096.
	Sessions int
}

// Timeouts bound how long things take. Zero fields take their default.
type Timeouts struct {
	// Call bounds one call to one source: login, retries and body; default 60 s.
	Call time.Duration
	// Ping bounds the request that learns how a registry wants to be spoken to; default 15 s.
	Ping time.Duration
	// Dial bounds a TCP connection; default 10 s.
	Dial time.Duration
	// TLS bounds a TLS handshake; default 10 s.
	TLS time.Duration
	// Idle is how long an unused connection is kept; default 90 s.
	Idle time.Duration
	// Session is how long what a ping taught is believed; default 15 min.
	Session time.Duration
}

// BudgetOptions bound what one upstream host is asked: the requests in flight over all
// credentials, their rate with each of them. Zero fields take their default.
type BudgetOptions struct {
	// Concurrency is the largest number of requests in flight to one host; default 16.
	Concurrency int
	// MaxWait is how long a request may wait for its host's budget before it
	// fails with CodeTooManyRequests; default 30 s.
	MaxWait time.Duration
	// MinRate is the lowest rate in requests per second that 429 answers can
	// push a host to; default 0.5.
	MinRate float64
	// MaxRate is the rate at which a recovering host counts as unlimited again;
	// default 100. A host that never answered 429 is not limited in rate.
	MaxRate float64
	// RecoverPerSecond is what a limited rate gains for every second with a
	// success, in requests per second; default 1.
	RecoverPerSecond float64
	// Hosts is how many hosts are remembered; idle ones beyond that are forgotten; default 1,000.
	Hosts int
	// Retries is how often an idempotent request is repeated; default 2, -1 never.
	Retries int
	// RetryWait is the longest Retry-After that is waited for within a call; default 5 s.
	RetryWait time.Duration
	// RetryBase is the pause before the first repetition, doubled for the next
	// and jittered by half; default 200 ms.
	RetryBase time.Duration
}

// withDefaults fills in what is zero.
func (o Options) withDefaults() Options {
	setDefault(&o.UserAgent, "weir")
	if o.Proxy == nil {
		o.Proxy = http.ProxyFromEnvironment
	}
	if o.Observer == nil {
		o.Observer = ObserverFunc(func(Observation) {})
	}
	o.Limits = o.Limits.withDefaults()
	o.Timeouts = o.Timeouts.withDefaults()
	o.Budget = o.Budget.withDefaults()
	o.Downloads = o.Downloads.withDefaults()
	return o
}

func (l Limits) withDefaults() Limits {
	setDefault(&l.Manifest, 8<<20)
	setDefault(&l.Blob, 8<<20)
	setDefault(&l.TagPage, 8<<20)
	setDefault(&l.Tags, 100_000)
	setDefault(&l.TagPages, 1_000)
	setDefault(&l.Token, 1<<20)
	setDefault(&l.ErrorBody, 64<<10)
	setDefault(&l.Headers, 64<<10)
	setDefault(&l.Redirects, 5)
	setDefault(&l.RetryAfter, 5*time.Minute)
	setDefault(&l.Sessions, 4096)
	return l
}

func (t Timeouts) withDefaults() Timeouts {
	setDefault(&t.Call, 60*time.Second)
	setDefault(&t.Ping, 15*time.Second)
	setDefault(&t.Dial, 10*time.Second)
	setDefault(&t.TLS, 10*time.Second)
	setDefault(&t.Idle, 90*time.Second)
	setDefault(&t.Session, 15*time.Minute)
	return t
}

func (b BudgetOptions) withDefaults() BudgetOptions {
	setDefault(&b.Concurrency, 16)
	setDefault(&b.MaxWait, 30*time.Second)
	setDefault(&b.MinRate, 0.5)
	setDefault(&b.MaxRate, 100)
	setDefault(&b.RecoverPerSecond, 1)
	setDefault(&b.Hosts, 1000)
	setDefault(&b.Retries, 2)
	setDefault(&b.RetryWait, 5*time.Second)
	setDefault(&b.RetryBase, 200*time.Millisecond)
	return b
}

// Validate reports every value that cannot work, each with its field.
func (o Options) Validate() error {
	var errs []error
	positive := func(field string, ok bool) {
		if !ok {
			errs = append(errs, fmt.Errorf("%s: must not be negative", field))
		}
	}
	l, t, b := o.Limits, o.Timeouts, o.Budget
	positive("limits.manifest", l.Manifest >= 0)
	positive("limits.blob", l.Blob >= 0)
	positive("limits.tagPage", l.TagPage >= 0)
	positive("limits.tags", l.Tags >= 0)
	positive("limits.tagPages", l.TagPages >= 0)
	positive("limits.token", l.Token >= 0)
	positive("limits.errorBody", l.ErrorBody >= 0)
	positive("limits.headers", l.Headers >= 0)
	positive("limits.redirects", l.Redirects >= 0)
	positive("limits.retryAfter", l.RetryAfter >= 0)
	positive("limits.sessions", l.Sessions >= 0)
	positive("timeouts.call", t.Call >= 0)
	positive("timeouts.ping", t.Ping >= 0)
	positive("timeouts.dial", t.Dial >= 0)
	positive("timeouts.tls", t.TLS >= 0)
	positive("timeouts.idle", t.Idle >= 0)
	positive("timeouts.session", t.Session >= 0)
	positive("budget.concurrency", b.Concurrency >= 0)
	positive("budget.maxWait", b.MaxWait >= 0)
	positive("budget.minRate", b.MinRate >= 0)
	positive("budget.maxRate", b.MaxRate >= 0)
	positive("budget.recoverPerSecond", b.RecoverPerSecond >= 0)
	positive("budget.hosts", b.Hosts >= 0)
	positive("budget.retryWait", b.RetryWait >= 0)
	positive("budget.retryBase", b.RetryBase >= 0)
	positive("downloads.concurrency", o.Downloads.Concurrency >= 0)
	positive("downloads.maxWait", o.Downloads.MaxWait >= 0)
	positive("downloads.stall", o.Downloads.Stall >= 0)
	positive("downloads.window", o.Downloads.Window >= 0)
	positive("downloads.minRate", o.Downloads.MinRate >= 0)
	if b.Retries < -1 {
		errs = append(errs, errors.New("budget.retries: must be -1 or more"))
	}
	return errors.Join(errs...)
}

// setDefault sets *v to def when it is zero.
func setDefault[T comparable](v *T, def T) {
	var zero T
	if *v == zero {
		*v = def
	}
}
