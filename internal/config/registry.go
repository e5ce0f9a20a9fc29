package config

import (
	"fmt"
	"net/netip"
	"net/url"
	"os"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"weir.dev/weir/internal/settings"
)

// Values of ManifestsConfiguration.Sparse.
const (
	SparseNone    = "None"
	SparseIndexes = "Indexes"
	SparseAll     = "All"
)

// Values of ScrubConfiguration.Mode.
const (
	ScrubAuto   = "Auto"
	ScrubAlways = "Always"
	ScrubNever  = "Never"
)

// RegistryConfiguration is about the integrated registry.
type RegistryConfiguration struct {
	// InternalHostname is host[:port] of the integrated registry inside the cluster, shown in
	// status.dockerImageRepository of every stream. Default "": the address it is served at, when
	// it is served. The flag --internal-registry-hostname takes its place.
	InternalHostname string `json:"internalHostname"`
	// ExternalHostnames are host[:port] under which it is reached from outside. The first is
	// shown in status.publicDockerImageRepository. Default: none. The flag
	// --external-registry-hostname takes their place.
	ExternalHostnames []string `json:"externalHostnames"`

	// FormerHostnames are host[:port] that InternalHostname was before the registry remembered
	// its names by itself. Default: none.
	FormerHostnames []string `json:"formerHostnames"`

	// Storage is where blobs are kept.
	Storage StorageConfiguration `json:"storage"`
	// Tokens are those the registry issues.
	Tokens TokensConfiguration `json:"tokens"`
	// Manifests says which manifests are taken.
	Manifests ManifestsConfiguration `json:"manifests"`
	// Uploads configures uploads that are never finished.
	Uploads UploadsConfiguration `json:"uploads"`
	// PullThrough is about content that only other registries have.
	PullThrough PullThroughConfiguration `json:"pullThrough"`
	// Requests bounds the requests under way.
	Requests RequestsConfiguration `json:"requests"`
	// Metrics are those at /extensions/v2/metrics.
	Metrics MetricsConfiguration `json:"metrics"`
}

// MetricsConfiguration is about who may read the registry's metrics.
type MetricsConfiguration struct {
	// Disabled refuses them to all. Default false.
	Disabled bool `json:"disabled"`
	// SecretFile holds a text that a scraper shows as its bearer token; only it may then
	// read them. Default "": who may get registry/metrics may.
	SecretFile string `json:"secretFile"`
}

// StorageConfiguration is where blobs are kept.
type StorageConfiguration struct {
	// Driver is the storage driver: filesystem, inmemory, s3, gcs or azure. Default filesystem.
	Driver string `json:"driver"`
	// Parameters are the driver's own. Default: none; the filesystem driver then writes
	// below the data folder.
	Parameters map[string]any `json:"parameters"`
	// Redirect sends clients to the storage for blobs, where the driver can sign such URLs.
	// Default false.
	Redirect bool `json:"redirect"`
	// Reserve is the space kept free on the disk of a filesystem driver: with less, uploads are
	// refused and what passes through is not kept. Default 0: 5 % of the disk, at most 1Gi,
	// and on the disk of the embedded etcd at least twice its reserve.
	Reserve settings.Size `json:"reserve"`
	// Scrub is about the verification of stored blobs in the background.
	Scrub ScrubConfiguration `json:"scrub"`
}

// ScrubConfiguration is about the verification of stored blobs in the background.
type ScrubConfiguration struct {
	// Mode is Auto, Always or Never. Auto verifies on a filesystem and leaves object stores
	// alone, which verify by themselves. Default Auto.
	Mode string `json:"mode"`
	// BytesPerSecond bounds how fast blobs are read for that. Default 8Mi.
	BytesPerSecond settings.Size `json:"bytesPerSecond"`
}

// Runs reports whether blobs of a storage driver are verified.
func (c *ScrubConfiguration) Runs(driver string) bool {
	return c.Mode == ScrubAlways || c.Mode == ScrubAuto && driver == "filesystem"
}

// TokensConfiguration is about the tokens that the registry issues.
type TokensConfiguration struct {
	// Realm is scheme://host[:port] that clients are sent to for a token. Default "": the host
	// that the client itself asked.
	Realm string `json:"realm"`
	// TrustedProxies are addresses and CIDR blocks of proxies whose Forwarded and X-Forwarded-*
	// headers tell which host the client asked. Default: none.
	TrustedProxies []string `json:"trustedProxies"`
	// Lifetime is how long a token is good for. From 1m to 1h. Default 5m.
	Lifetime metav1.Duration `json:"lifetime"`
	// KeyMaxAge is the age at which the key that signs tokens is replaced. At least 24h.
	// Default 720h.
	KeyMaxAge metav1.Duration `json:"keyMaxAge"`
}

// ManifestsConfiguration says which manifests are taken.
type ManifestsConfiguration struct {
	// MaxSize is the largest manifest. Default 4Mi.
	MaxSize settings.Size `json:"maxSize"`
	// Sparse says what a manifest may refer to that is not there: Indexes lets indexes refer to
	// missing manifests, All images to missing layers as well, None nothing. Default Indexes.
	Sparse string `json:"sparse"`
	// CacheSize is the memory for manifests that were read. Default 64Mi.
	CacheSize settings.Size `json:"cacheSize"`
}

// UploadsConfiguration configures uploads that are never finished.
type UploadsConfiguration struct {
	// MaxAge is how long an upload may rest before it is removed. At least 1h. Default 168h.
	MaxAge metav1.Duration `json:"maxAge"`
	// MaxPerUser and MaxPerNamespace are how many unfinished uploads a user and a namespace may
	// have; more are answered 429. Default 500 and 2000.
	MaxPerUser      int `json:"maxPerUser"`
	MaxPerNamespace int `json:"maxPerNamespace"`
}

// PullThroughConfiguration is about content that only other registries have.
type PullThroughConfiguration struct {
	// Disabled serves only what was pushed or mirrored before. Default false.
	Disabled bool `json:"disabled"`
	// Mirror keeps what passes through. Default true.
	Mirror bool `json:"mirror"`
	// MirrorImports keeps all images at import, with all platforms, instead of those that are
	// pulled. Default false.
	MirrorImports bool `json:"mirrorImports"`
}

// RequestsConfiguration bounds the requests under way.
type RequestsConfiguration struct {
	// Read is about GET, HEAD and OPTIONS.
	Read RequestLimit `json:"read"`
	// Write is about all other requests.
	Write RequestLimit `json:"write"`
	// MaxContent is the memory for manifests, configurations, signatures and lists of all requests
	// under way. One user gets at most a quarter and one namespace at most half; what finds no room is answered 429. Default 256Mi.
	MaxContent settings.Size `json:"maxContent"`
}

// RequestLimit bounds requests of one kind.
type RequestLimit struct {
	// MaxRunning is how many are served at a time; 0 is without bound. Default 0.
	MaxRunning int `json:"maxRunning"`
	// MaxInQueue is how many more may wait; what comes beyond is answered 429. Default 0.
	MaxInQueue int `json:"maxInQueue"`
	// MaxWaitInQueue is how long one may wait before it is answered 429; 0s is without bound.
	// Default 0s.
	MaxWaitInQueue metav1.Duration `json:"maxWaitInQueue"`
}

// Proxies returns the blocks of TrustedProxies. The error names the one that Validate would refuse.
func (c *TokensConfiguration) Proxies() ([]netip.Prefix, error) {
	var checks settings.Checks
	blocks := checks.Blocks(field.NewPath("registry", "tokens", "trustedProxies"), c.TrustedProxies, "10.0.0.0/8")
	return blocks, checks.Errors().ToAggregate()
}

// Secret reads SecretFile, "" where there is none. White space around the text does not
// belong to it. The error names the file, and that of an empty one says so: no scraper
// could be told from anybody.
func (c *MetricsConfiguration) Secret() (string, error) {
	if c.SecretFile == "" {
		return "", nil
	}
	content, err := os.ReadFile(c.SecretFile)
	if err != nil {
		return "", fmt.Errorf("registry.metrics.secretFile: %w", err)
	}
	secret := strings.TrimSpace(string(content))
	if secret == "" {
		return "", fmt.Errorf("registry.metrics.secretFile: %s is empty: write a secret into it, or leave the setting out", c.SecretFile)
	}
	return secret, nil
}

func defaultRegistry() RegistryConfiguration {
	return RegistryConfiguration{
		Storage:     StorageConfiguration{Driver: "filesystem", Scrub: ScrubConfiguration{Mode: ScrubAuto, BytesPerSecond: 8 << 20}},
		Tokens:      TokensConfiguration{Lifetime: settings.Duration(5 * time.Minute), KeyMaxAge: settings.Duration(30 * 24 * time.Hour)},
		Manifests:   ManifestsConfiguration{MaxSize: 4 << 20, Sparse: SparseIndexes, CacheSize: 64 << 20},
		Uploads:     UploadsConfiguration{MaxAge: settings.Duration(7 * 24 * time.Hour), MaxPerUser: 500, MaxPerNamespace: 2000},
		PullThrough: PullThroughConfiguration{Mirror: true},
		Requests:    RequestsConfiguration{MaxContent: 256 << 20},
	}
}

func (r *RegistryConfiguration) validate(p *field.Path) field.ErrorList {
	var c settings.Checks
	if r.InternalHostname != "" {
		checkHostname(&c, p.Child("internalHostname"), r.InternalHostname)
	}
	for i, host := range r.ExternalHostnames {
		checkHostname(&c, p.Child("externalHostnames").Index(i), host)
	}
	for i, host := range r.FormerHostnames {
		checkHostname(&c, p.Child("formerHostnames").Index(i), host)
	}
	r.Storage.validate(&c, p.Child("storage"))
	tokens := p.Child("tokens")
	checkRealm(&c, tokens.Child("realm"), r.Tokens.Realm)
	c.Blocks(tokens.Child("trustedProxies"), r.Tokens.TrustedProxies, "10.0.0.0/8")
	c.DurationBetween(tokens.Child("lifetime"), r.Tokens.Lifetime, time.Minute, time.Hour)
	c.DurationBetween(tokens.Child("keyMaxAge"), r.Tokens.KeyMaxAge, 24*time.Hour, 100*365*24*time.Hour)
	manifests := p.Child("manifests")
	c.Size(manifests.Child("maxSize"), r.Manifests.MaxSize)
	c.Size(manifests.Child("cacheSize"), r.Manifests.CacheSize)
	settings.OneOf(&c, manifests.Child("sparse"), r.Manifests.Sparse, SparseNone, SparseIndexes, SparseAll)
	uploads := p.Child("uploads")
	c.DurationBetween(uploads.Child("maxAge"), r.Uploads.MaxAge, time.Hour, 100*365*24*time.Hour)
	c.Between(uploads.Child("maxPerUser"), r.Uploads.MaxPerUser, 1, settings.MaxCount)
	c.Between(uploads.Child("maxPerNamespace"), r.Uploads.MaxPerNamespace, 1, settings.MaxCount)
	requests := p.Child("requests")
	c.Size(requests.Child("maxContent"), r.Requests.MaxContent)
	r.Requests.Read.validate(&c, requests.Child("read"))
	r.Requests.Write.validate(&c, requests.Child("write"))
	return c.Errors()
}

func (s *StorageConfiguration) validate(c *settings.Checks, p *field.Path) {
	settings.OneOf(c, p.Child("driver"), s.Driver, "filesystem", "inmemory", "s3", "gcs", "azure")
	if s.Reserve != 0 {
		c.Size(p.Child("reserve"), s.Reserve)
	}
	settings.OneOf(c, p.Child("scrub", "mode"), s.Scrub.Mode, ScrubAuto, ScrubAlways, ScrubNever)
	c.Size(p.Child("scrub", "bytesPerSecond"), s.Scrub.BytesPerSecond)
}

func (l *RequestLimit) validate(c *settings.Checks, p *field.Path) {
	c.Between(p.Child("maxRunning"), l.MaxRunning, 0, settings.MaxCount)
	c.Between(p.Child("maxInQueue"), l.MaxInQueue, 0, settings.MaxCount)
	c.DurationBetween(p.Child("maxWaitInQueue"), l.MaxWaitInQueue, 0, 24*time.Hour)
}

// checkRealm requires a scheme and a host only: the path is the registry's own.
func checkRealm(c *settings.Checks, p *field.Path, realm string) {
	if realm == "" {
		return
	}
	u, err := url.Parse(realm)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.Path != "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil {
		c.Invalid(p, realm, "must be a scheme and a host such as https://registry.example.com, without path, query and fragment")
	}
}
