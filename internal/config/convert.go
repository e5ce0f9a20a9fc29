package config

import (
	"fmt"
	"net/netip"

	"weir.dev/weir/internal/controller/imageimport"
	"weir.dev/weir/internal/controller/schedule"
	"weir.dev/weir/internal/etcd"
	"weir.dev/weir/internal/imageapi/validation"
	"weir.dev/weir/internal/importer"
	"weir.dev/weir/internal/pullsecrets"
	"weir.dev/weir/internal/stream"
	"weir.dev/weir/internal/upstream"
)

// EtcdOptions are the options of the embedded etcd over a folder.
func (c *Configuration) EtcdOptions(dir string) etcd.Options {
	return etcd.Options{Dir: dir, Reserve: c.Etcd.Reserve.Value(), Quota: c.Etcd.Quota.Value()}
}

// Registries are the names of the integrated registry.
func (c *Configuration) Registries() stream.Registries {
	r := stream.Registries{Internal: c.Registry.InternalHostname, Former: c.Registry.FormerHostnames}
	if len(c.Registry.ExternalHostnames) > 0 {
		r.Public = c.Registry.ExternalHostnames[0]
	}
	return r
}

// AllowedRegistries is the list of registries that images may be imported from. The
// error names the entry that Validate would refuse.
func (c *Configuration) AllowedRegistries() (*validation.AllowedRegistries, error) {
	list := make([]validation.AllowedRegistry, len(c.Imports.AllowedRegistries))
	for i, entry := range c.Imports.AllowedRegistries {
		list[i] = validation.AllowedRegistry(entry)
	}
	return validation.NewAllowedRegistries(list, c.Registry.InternalHostname)
}

// NodeCredentials reads imports.nodeCredentialsFile; nil when there is none. Warnings
// are about entries that were left out; a file that does not exist has none.
func (c *Configuration) NodeCredentials() (*pullsecrets.NodeCredentials, []pullsecrets.Warning, error) {
	if c.Imports.NodeCredentialsFile == "" {
		return nil, nil, nil
	}
	return pullsecrets.ReadNode(c.Imports.NodeCredentialsFile)
}

// ImporterOptions are the options of the importer. registries is where images come
// from, as importer.FromClient makes it.
func (c *Configuration) ImporterOptions(registries importer.Registries) importer.Options {
	l := &c.Imports.Limits
	return importer.Options{
		Registries: registries,
		DefaultPlatform: importer.Platform{
			OS:           c.Imports.DefaultPlatform.OS,
			Architecture: c.Imports.DefaultPlatform.Architecture,
		},
		Concurrency: c.Imports.Concurrency,
		Timeout:     c.Imports.Timeout.Duration,
		Limits: importer.Limits{
			ConfigBytes:  l.ConfigSize.Value(),
			ImageBytes:   int(l.ImageSize.Value()),
			Manifests:    l.ManifestsPerTag,
			Depth:        l.ListDepth,
			TagBytes:     l.TagSize.Value(),
			RequestBytes: l.RequestSize.Value(),
			ListedTags:   l.TagsPerRepository,
			CacheBytes:   l.CacheSize.Value(),
		},
	}
}

// defaultCaches is the least that Caches.Size is by default.
const defaultCaches = 128 << 20

// CacheBytes is the bound of all caches together, in bytes.
func (c *Configuration) CacheBytes() int64 {
	if size := c.Caches.Size.Value(); size > 0 {
		return size
	}
	return max(defaultCaches, c.Registry.Manifests.CacheSize.Value()+c.Imports.Limits.CacheSize.Value())
}

// UpstreamOptions are the options of the client of other registries, without those
// that are no settings of this file: CAs, observer, user agent. The error names the
// address that Validate would refuse.
func (c *Configuration) UpstreamOptions() (upstream.Options, error) {
	addresses, err := c.Imports.Addresses.policy()
	return upstream.Options{
		Addresses: addresses,
		Limits:    c.Imports.upstreamLimits(),
		Timeouts:  c.Imports.Timeouts.options(),
		Budget:    c.Imports.Hosts.budget(),
	}, err
}

func (c *ImportsConfiguration) upstreamLimits() upstream.Limits {
	l := &c.Limits
	return upstream.Limits{
		Manifest:   l.ManifestSize.Value(),
		Blob:       l.ConfigSize.Value(), // configs are the only blobs that are read
		TagPage:    l.TagListPageSize.Value(),
		Tags:       l.TagListLength,
		TagPages:   l.TagListPages,
		Token:      l.TokenSize.Value(),
		ErrorBody:  l.ErrorSize.Value(),
		Headers:    l.HeaderSize.Value(),
		Redirects:  l.Redirects,
		RetryAfter: c.Hosts.MaxPause.Duration,
		Sessions:   l.Sessions,
	}
}

func (t *TimeoutsConfiguration) options() upstream.Timeouts {
	return upstream.Timeouts{
		Call:    t.Call.Duration,
		Ping:    t.Ping.Duration,
		Dial:    t.Dial.Duration,
		TLS:     t.TLSHandshake.Duration,
		Idle:    t.IdleConnection.Duration,
		Session: t.Session.Duration,
	}
}

func (h *HostsConfiguration) budget() upstream.BudgetOptions {
	retries := h.Retries
	if retries == 0 {
		retries = -1 // there, 0 stands for the default
	}
	return upstream.BudgetOptions{
		Concurrency:      h.Concurrency,
		MaxWait:          h.MaxWait.Duration,
		MinRate:          h.MinRate,
		MaxRate:          h.MaxRate,
		RecoverPerSecond: h.RecoverPerSecond,
		Hosts:            h.Remembered,
		Retries:          retries,
		RetryWait:        h.RetryWait.Duration,
		RetryBase:        h.RetryBase.Duration,
	}
}

func (a *AddressesConfiguration) policy() (upstream.AddressPolicy, error) {
	policy := upstream.AddressPolicy{DenyLoopback: a.DenyLoopback != nil && *a.DenyLoopback, DenyPrivate: a.DenyPrivate}
	for i, block := range a.Allow {
		prefix, err := parseBlock(block)
		if err != nil {
			return upstream.AddressPolicy{}, fmt.Errorf("reading address %d that is allowed: %w", i, err)
		}
		policy.Allow = append(policy.Allow, prefix)
	}
	return policy, nil
}

// parseBlock reads an address or a CIDR block. IPv4 has to be written as such: its
// form inside IPv6 would match nothing.
func parseBlock(s string) (netip.Prefix, error) {
	address, err := netip.ParseAddr(s)
	bits := address.BitLen()
	if err != nil {
		prefix, err := netip.ParsePrefix(s)
		if err != nil {
			return netip.Prefix{}, fmt.Errorf("%q is neither an address nor a CIDR block", s)
		}
		address, bits = prefix.Addr(), prefix.Bits()
	}
	if address.Zone() != "" || address.Is4In6() {
		return netip.Prefix{}, fmt.Errorf("%q has a zone or is IPv4 inside IPv6", s)
	}
	return address.Prefix(bits)
}

// ImportControllerOptions are the options of the import controller.
func (c *Configuration) ImportControllerOptions() imageimport.Options {
	r := &c.Imports.Retry
	return imageimport.Options{
		Workers:         c.Imports.Workers,
		Timeout:         c.Imports.RequestTimeout.Duration,
		EventsPerSecond: c.Imports.EventsPerSecond,
		Retry: imageimport.RetryOptions{
			Disabled: r.Disabled,
			Workers:  r.Workers,
			Base:     r.Base.Duration,
			SlowBase: r.SlowBase.Duration,
			Max:      r.Max.Duration,
		},
	}
}

// ScheduleOptions are the options of the controller of scheduled imports.
func (c *Configuration) ScheduleOptions() schedule.Options {
	s := &c.Schedule
	return schedule.Options{
		Disabled:        s.Disabled,
		Interval:        s.Interval.Duration,
		MinimumInterval: s.MinimumInterval.Duration,
		MaxPerMinute:    s.MaxPerMinute,
		Workers:         s.Workers,
		Timeout:         c.Imports.RequestTimeout.Duration,
	}
}
