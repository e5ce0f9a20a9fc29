package config

import (
	"weir.dev/weir/internal/controller/schedule"
	"weir.dev/weir/internal/imageapi/validation"
	"weir.dev/weir/internal/pullsecrets"
	"weir.dev/weir/internal/stream"
	"weir.dev/weir/internal/upstream"
)

// Registries returns the names of the integrated registry.
func (c *Configuration) Registries() stream.Registries {
	r := stream.Registries{Internal: c.Registry.InternalHostname, Former: c.Registry.FormerHostnames}
	if len(c.Registry.ExternalHostnames) > 0 {
		r.Public = c.Registry.ExternalHostnames[0]
	}
	return r
}

// AllowedRegistries returns the registries that images may be imported from. The error names the
// entry that Validate would refuse.
func (c *Configuration) AllowedRegistries() (*validation.AllowedRegistries, error) {
	list := make([]validation.AllowedRegistry, len(c.Imports.AllowedRegistries))
	for i, entry := range c.Imports.AllowedRegistries {
		list[i] = validation.AllowedRegistry(entry)
	}
	return validation.NewAllowedRegistries(list, c.Registry.InternalHostname)
}

// NodeCredentials reads imports.nodeCredentialsFile; nil without one. Warnings are about entries
// that were left out; a file that does not exist has none.
func (c *Configuration) NodeCredentials() (*pullsecrets.NodeCredentials, []pullsecrets.Warning, error) {
	if c.Imports.NodeCredentialsFile == "" {
		return nil, nil, nil
	}
	return pullsecrets.ReadNode(c.Imports.NodeCredentialsFile)
}

// UpstreamOptions returns the options of the client of other registries, with the limits of imports.
func (c *Configuration) UpstreamOptions() upstream.Options {
	o := c.Imports.Client
	o.Limits = c.Imports.Importer.Limits.Client
	return o
}

// ScheduleOptions returns the options of the controller of scheduled imports, with the timeout of
// all imports.
func (c *Configuration) ScheduleOptions() schedule.Options {
	o := c.Schedule
	o.Timeout = c.Imports.Controller.Timeout
	return o
}

// defaultCaches is the least that Caches.Size is by default.
const defaultCaches = 128 << 20

// CacheBytes returns the bound of all caches together, in bytes.
func (c *Configuration) CacheBytes() int64 {
	if size := int64(c.Caches.Size); size > 0 {
		return size
	}
	return int64(max(defaultCaches, c.Registry.Manifests.CacheSize+c.Imports.Importer.Limits.CacheSize))
}
