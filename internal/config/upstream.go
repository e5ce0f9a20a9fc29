package config

import (
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// HostsConfiguration bounds what any one upstream host is asked, over all imports of
// this process. A host that answers 429 is asked more slowly with the credential that it
// refused, and recovers by itself; one that never did is not limited in rate.
type HostsConfiguration struct {
	// Concurrency is how many requests may be in flight to one host. Default 16.
	Concurrency int `json:"concurrency"`
	// MaxWait is how long a request may wait for its turn before it fails as throttled.
	// Default 30s.
	MaxWait metav1.Duration `json:"maxWait"`
	// MaxPause is the longest Retry-After of a host that is believed: after that one request
	// finds out whether the pause is over. Default 5m.
	MaxPause metav1.Duration `json:"maxPause"`
	// MinRate is the lowest rate that 429 answers can push a host to, in requests per second.
	// Default 0.5.
	MinRate float64 `json:"minRate"`
	// MaxRate is the rate at which a recovering host counts as not limited again, in requests per
	// second. Not less than MinRate. Default 100.
	MaxRate float64 `json:"maxRate"`
	// RecoverPerSecond is what the rate of a recovering host gains for every second with a
	// success, in requests per second. Default 1.
	RecoverPerSecond float64 `json:"recoverPerSecond"`
	// Retries is how often a call repeats a request that failed in passing. Default 2; 0 never.
	Retries int `json:"retries"`
	// RetryBase is the pause before the first repetition; it doubles for the next. Default 200ms.
	RetryBase metav1.Duration `json:"retryBase"`
	// RetryWait is the longest Retry-After that is waited for within a call. Default 5s.
	RetryWait metav1.Duration `json:"retryWait"`
	// Remembered is how many hosts are remembered; idle ones beyond that are forgotten.
	// Default 1000.
	Remembered int `json:"remembered"`
}

// AddressesConfiguration says which network addresses are contacted, after names are
// resolved. Special ranges such as link-local and multicast, and the metadata services of
// clouds, never are, unless listed in Allow.
type AddressesConfiguration struct {
	// Allow are exceptions: addresses or CIDR blocks that are always contacted. Default: none.
	Allow []string `json:"allow"`
	// DenyLoopback refuses loopback addresses, but for the integrated registry. Default null:
	// true where the API or the registry is served at another address than loopback.
	DenyLoopback *bool `json:"denyLoopback"`
	// DenyPrivate refuses private addresses (RFC 1918, RFC 4193, RFC 6598). Default false.
	DenyPrivate bool `json:"denyPrivate"`
}

// TimeoutsConfiguration bounds the steps of a call to a registry.
type TimeoutsConfiguration struct {
	// Call bounds one call to one source: login, repetitions and body. Default 1m.
	Call metav1.Duration `json:"call"`
	// Ping bounds the request that learns how a registry wants to be spoken to. Default 15s.
	Ping metav1.Duration `json:"ping"`
	// Dial bounds the opening of a TCP connection. Default 10s.
	Dial metav1.Duration `json:"dial"`
	// TLSHandshake bounds a TLS handshake. Default 10s.
	TLSHandshake metav1.Duration `json:"tlsHandshake"`
	// IdleConnection is how long an unused connection is kept. Default 1m30s.
	IdleConnection metav1.Duration `json:"idleConnection"`
	// Session is how long it is believed what a registry said about logins. Default 15m.
	Session metav1.Duration `json:"session"`
}

// LimitsConfiguration bounds what is read from registries, all of which is foreign
// content. What exceeds a limit fails the tag concerned with a status that names the
// limit. Sizes are in bytes.
type LimitsConfiguration struct {
	// ManifestSize is the largest manifest. Default 8Mi.
	ManifestSize resource.Quantity `json:"manifestSize"`
	// ConfigSize is the largest image config. Default 8Mi.
	ConfigSize resource.Quantity `json:"configSize"`
	// ImageSize is the largest Image as it is stored, below what etcd takes in one write.
	// Default 1Mi.
	ImageSize resource.Quantity `json:"imageSize"`
	// TagSize is how much one tag may hold in manifests and configs. Default 64Mi.
	TagSize resource.Quantity `json:"tagSize"`
	// RequestSize is the same over all tags of one import. Default 256Mi.
	RequestSize resource.Quantity `json:"requestSize"`
	// CacheSize is the size of the process-wide cache of manifests and configs. Default 64Mi.
	CacheSize resource.Quantity `json:"cacheSize"`
	// ManifestsPerTag is how many manifests one tag may hold, over all its platforms.
	// Default 1000.
	ManifestsPerTag int `json:"manifestsPerTag"`
	// ListDepth is how deep manifest lists may be nested in a manifest list. Default 4.
	ListDepth int `json:"listDepth"`
	// TagListLength is how many tags the list of a repository may have. Default 100000.
	TagListLength int `json:"tagListLength"`
	// TagListPages is how many pages such a list may have. Default 1000.
	TagListPages int `json:"tagListPages"`
	// TagListPageSize is the largest such page. Default 8Mi.
	TagListPageSize resource.Quantity `json:"tagListPageSize"`
	// TagsPerRepository is how many tags of a repository are looked at; those beyond, in order of
	// priority, are neither imported nor named. Default 50000.
	TagsPerRepository int `json:"tagsPerRepository"`
	// TokenSize is the largest answer of a token service. Default 1Mi.
	TokenSize resource.Quantity `json:"tokenSize"`
	// ErrorSize is how much of an error answer is read. Default 64Ki.
	ErrorSize resource.Quantity `json:"errorSize"`
	// HeaderSize is the largest response header. Default 64Ki.
	HeaderSize resource.Quantity `json:"headerSize"`
	// Redirects is how many redirects are followed for one request. Default 5.
	Redirects int `json:"redirects"`
	// Sessions is how many logins (repository and credential) are remembered. Default 4096.
	Sessions int `json:"sessions"`
}
