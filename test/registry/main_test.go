// Package registry_test holds the tests of the integrated registry and its parts through
// a real server: one Weir for all of them, a namespace for each.
package registry_test

import (
	"os"
	"testing"

	"weir.dev/weir/internal/standalone"
	"weir.dev/weir/internal/testenv"
)

var (
	env *testenv.Env
	// dataDir is where it keeps its data.
	dataDir string
)

func TestMain(m *testing.M) {
	os.Exit(testenv.Run(m, func(e *testenv.Env) { env = e }, testenv.WithRegistry, acceptOtherCluster, func(o *standalone.Options) { dataDir = o.DataDir }))
}
