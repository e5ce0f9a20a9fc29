package caches

import (
	"k8s.io/apimachinery/pkg/util/validation/field"

	"weir.dev/weir/internal/settings"
)

// Settings is the section caches of the configuration file.
type Settings struct {
	// Size is the memory for the entries of all caches together, by estimate. Default 0:
	// Registry.Manifests.CacheSize and Imports.Limits.CacheSize together, at least 128Mi. Otherwise
	// at least 8Mi.
	Size settings.Size `json:"size"`
}

// minSize leaves room for some entries in every cache.
const minSize = 8 << 20

// Validate returns every mistake in the section at path.
func (s *Settings) Validate(path *field.Path) field.ErrorList {
	var c settings.Checks
	if s.Size != 0 {
		c.SizeFrom(path.Child("size"), s.Size, minSize)
	}
	return c.Errors()
}
