// Package conformance provides a suite of checks for OCI registries: every MUST and
// SHOULD of the distribution specification 1.1 that is about registries, what its main
// branch and the public conformance suite add, and what a registry must not be talked
// into. It knows a registry by its URL alone and speaks plain HTTP to it, so it runs
// against Weir and against anybody else's (`go run ./test/conformance/probe`).
//
// Requirements is the table from lines of the specification to checks; a check that
// fails names the lines that it stands for.
package conformance

import (
	"context"
	"net/http"
)

// Target is the registry under test, and what of it the suite may use.
type Target struct {
	// URL is where the registry listens, "http://127.0.0.1:5000".
	URL string
	// Repository and SecondRepository may be pushed to, pulled from and deleted from.
	// The suite also uses names that begin with Repository followed by "-" and more, or
	// "/" and more: the same rights are needed there.
	Repository       string
	SecondRepository string
	// Authorization gives the Authorization header of a request that needs scopes of
	// the token protocol, "repository:a/b:pull,push" or "registry:catalog:*". nil is
	// for registries that let everybody do everything. Basic and TokenFlow make one.
	Authorization func(ctx context.Context, scopes []string) (string, error)
	// Transport carries the requests; nil means a transport of the suite's own.
	Transport http.RoundTripper
	Options   Options
}

// Options are what registries may do differently.
type Options struct {
	// MaxManifestBytes is the largest manifest that the registry takes. 0 means 4 MiB,
	// the least the specification asks for.
	MaxManifestBytes int
	// SparseLayers says that manifests are taken whose layers are missing. They are
	// expected to be refused otherwise, and always without their configuration.
	SparseLayers bool
	// Seed makes random content and random walks repeat; 0 picks one, which is logged.
	Seed uint64
	// WalkWorkers and WalkSteps bound the random walk: so many goroutines make so many
	// steps each. 0 means 4 and 40.
	WalkWorkers, WalkSteps int
}

const (
	defaultMaxManifestBytes = 4 << 20
	defaultWalkWorkers      = 4
	defaultWalkSteps        = 40
)

func (o Options) withDefaults() Options {
	if o.MaxManifestBytes == 0 {
		o.MaxManifestBytes = defaultMaxManifestBytes
	}
	if o.WalkWorkers == 0 {
		o.WalkWorkers = defaultWalkWorkers
	}
	if o.WalkSteps == 0 {
		o.WalkSteps = defaultWalkSteps
	}
	return o
}
