package upstream

import (
	"crypto/x509"
	"net/http"
	"net/url"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"weir.dev/weir/internal/caches"
	"weir.dev/weir/internal/settings"
)

// Options configure a Client: settings of the section imports of the configuration file, and what
// the process adds. Start from DefaultOptions.
type Options struct {
	// Hosts bounds the requests to one upstream host, over all imports of this process.
	Hosts HostOptions `json:"hosts"`
	// Addresses are the network addresses that are contacted.
	Addresses AddressOptions `json:"addresses"`
	// Timeouts bound the steps of a call to a registry.
	Timeouts Timeouts `json:"timeouts"`
	// Limits bound the responses. They are a part of the section imports.limits.
	Limits Limits `json:"-"`

	// RetryBase is the pause before the first repetition of a request, doubled for the next and
	// jittered by half.
	RetryBase time.Duration `json:"-"`
	// Downloads bounds blobs that are streamed (OpenBlob).
	Downloads DownloadOptions `json:"-"`
	// RootCAs are CAs trusted for registries; nil stands for those of the system. See LoadCAs.
	RootCAs *x509.CertPool `json:"-"`
	// UserAgent is sent with every request; default "weir".
	UserAgent string `json:"-"`
	// Caches bound the memory for remembered answers of registries, beside the bounds of each
	// cache; nil is without such a bound.
	Caches *caches.Pool `json:"-"`
	// Observer is called for every request. It must be quick and safe for concurrent use; nil for
	// none.
	Observer func(Observation) `json:"-"`
	// Proxy returns the proxy for a request; default http.ProxyFromEnvironment.
	Proxy func(*http.Request) (*url.URL, error) `json:"-"`

	// bounds are constants of the package, which tests make smaller.
	bounds bounds
}

// HostOptions bound the requests to one upstream host. After a 429 they are slower with the
// credential that was refused, and recover by themselves. Without one their rate has no limit.
type HostOptions struct {
	// Concurrency is the largest number of requests in flight to one host. Default 16.
	Concurrency int `json:"concurrency"`
	// MaxWait is how long a request may wait for its turn before it fails as throttled
	// (CodeTooManyRequests). Default 30s.
	MaxWait metav1.Duration `json:"maxWait"`
	// MaxPause bounds the Retry-After of a host: after it, one request probes whether the pause is
	// over. Default 5m: that many probes burden no registry, while raised limits and changed
	// logins are noticed soon.
	MaxPause metav1.Duration `json:"maxPause"`
	// Retries is how often an idempotent request is repeated after a transient failure. Default
	// 2; 0 is never.
	Retries int `json:"retries"`
	// RetryWait is the longest Retry-After that a call waits for. Default 5s.
	RetryWait metav1.Duration `json:"retryWait"`
}

// Timeouts bound the steps of a call to a registry.
type Timeouts struct {
	// Call bounds one call to one source: login, repetitions and body. Default 1m.
	Call metav1.Duration `json:"call"`
	// Dial bounds the opening of a TCP connection. Default 10s.
	Dial metav1.Duration `json:"dial"`
}

// Limits bound the responses of registries, after content decoding.
type Limits struct {
	// ManifestSize is the largest manifest. Default 8Mi.
	ManifestSize settings.Size `json:"manifestSize"`
	// ConfigSize is the largest image config. Default 8Mi.
	ConfigSize settings.Size `json:"configSize"`
	// TagListLength is the largest number of tags in the list of a repository. Default 100000.
	TagListLength int `json:"tagListLength"`
}

// bounds are limits that no operator has a reason to change.
type bounds struct {
	// tagPage is the largest page of a tag list, in bytes, and tagPages the largest number of
	// pages: a registry that sends ever more ends there.
	tagPage  int64
	tagPages int
	// token is the largest response of a token realm and errorBody the part of an error response
	// that is read, in bytes: real ones take a few KiB. headers is the largest response header.
	token, errorBody, headers int64
	// redirects is the largest number of redirects of one request; registries use one or two.
	redirects int
	// sessions is the number of logins (repository and credential) that are remembered, for
	// session at most; hosts that of hosts. Idle ones beyond that are forgotten, and cost a ping
	// when they return.
	sessions int
	session  time.Duration
	hosts    int
	// ping bounds the request to /v2/, tls a handshake, and idle the life of an unused connection.
	ping, tls, idle time.Duration
	// minRate is the lowest rate in requests per second after 429s, and maxRate that at which a
	// recovering host has no limit again. recoverPerSecond is the gain of the rate for every
	// second with a success.
	minRate, maxRate, recoverPerSecond float64
}

func defaultBounds() bounds {
	return bounds{
		tagPage: 8 << 20, tagPages: 1000,
		token: 1 << 20, errorBody: 64 << 10, headers: 64 << 10,
		redirects: 5,
		sessions:  4096, session: 15 * time.Minute, hosts: 1000,
		ping: 15 * time.Second, tls: 10 * time.Second, idle: 90 * time.Second,
		minRate: 0.5, maxRate: 100, recoverPerSecond: 1,
	}
}

// DefaultOptions returns the defaults.
func DefaultOptions() Options {
	return Options{
		Hosts: HostOptions{
			Concurrency: 16,
			MaxWait:     settings.Duration(30 * time.Second),
			MaxPause:    settings.Duration(5 * time.Minute),
			Retries:     2,
			RetryWait:   settings.Duration(5 * time.Second),
		},
		Timeouts:  Timeouts{Call: settings.Duration(time.Minute), Dial: settings.Duration(10 * time.Second)},
		Limits:    DefaultLimits(),
		RetryBase: 200 * time.Millisecond,
		Downloads: defaultDownloads(),
		UserAgent: "weir",
		Proxy:     http.ProxyFromEnvironment,
		bounds:    defaultBounds(),
	}
}

// DefaultLimits returns the defaults of Limits.
func DefaultLimits() Limits {
	return Limits{ManifestSize: 8 << 20, ConfigSize: 8 << 20, TagListLength: 100_000}
}

// Validate returns every mistake in the section at path, without Limits.
func (o *Options) Validate(path *field.Path) field.ErrorList {
	var c settings.Checks
	at, h := path.Child("hosts"), &o.Hosts
	c.Between(at.Child("concurrency"), h.Concurrency, 1, settings.MaxConcurrency)
	c.Positive(at.Child("maxWait"), h.MaxWait)
	c.Positive(at.Child("maxPause"), h.MaxPause)
	c.Between(at.Child("retries"), h.Retries, 0, 100)
	c.Positive(at.Child("retryWait"), h.RetryWait)
	_, errs := o.Addresses.policy(path.Child("addresses"))
	c.Add(errs...)
	at = path.Child("timeouts")
	c.Positive(at.Child("call"), o.Timeouts.Call)
	c.Positive(at.Child("dial"), o.Timeouts.Dial)
	return c.Errors()
}

// Validate returns every mistake in the section at path.
func (l *Limits) Validate(path *field.Path) field.ErrorList {
	var c settings.Checks
	c.Size(path.Child("manifestSize"), l.ManifestSize)
	c.Size(path.Child("configSize"), l.ConfigSize)
	c.Between(path.Child("tagListLength"), l.TagListLength, 1, settings.MaxCount)
	return c.Errors()
}
