package ociregistry_test

import (
	"context"
	"testing"

	"weir.dev/weir/internal/ociregistry"
	"weir.dev/weir/test/conformance"
)

// TestConformance runs the HTTP suite against the handler: over the default storage, and over
// storage in memory with sparse images and larger manifests. The other tests of this package are
// of what the suite does not see: the stream behind a repository, other registries, limits,
// failures.
func TestConformance(t *testing.T) {
	t.Run("disk", func(t *testing.T) {
		r := startWith(t, newDisk(t))
		conformance.Run(t, conformance.Target{
			URL: r.url, Repository: "conformance/app", SecondRepository: "conformance/second", Authorization: asAdmin,
		})
	})
	t.Run("inmemory", func(t *testing.T) {
		r := start(t, func(o *ociregistry.Options) { o.Sparse, o.MaxManifestBytes = ociregistry.SparseAll, 6<<20 })
		conformance.Run(t, conformance.Target{
			URL: r.url, Repository: "conformance/a/b__c/app", SecondRepository: "conformance/a/b--c", Authorization: asAdmin,
			Options: conformance.Options{SparseLayers: true, MaxManifestBytes: 6 << 20},
		})
	})
}

func asAdmin(context.Context, []string) (string, error) { return "Bearer admin", nil }
