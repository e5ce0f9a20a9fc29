// Package imports tests the import controller and scheduled imports through the
// public API of a whole Weir, against real registries.
package imports

import (
	"os"
	"testing"
	"time"

	"weir.dev/weir/internal/standalone"
	"weir.dev/weir/internal/testenv"
)

var env *testenv.Env

func TestMain(m *testing.M) {
	os.Exit(testenv.Run(m, func(e *testenv.Env) { env = e }, func(o *standalone.Options) {
		o.Config.Imports.Controller.Retry.Base.Duration = time.Second
		o.Config.Imports.Controller.Retry.SlowBase.Duration = time.Second
		o.Config.Schedule.MinimumInterval.Duration = time.Second
	}))
}
