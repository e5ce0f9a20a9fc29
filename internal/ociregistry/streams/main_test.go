package streams

import (
	"fmt"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// flightsEnd is how long requests may go on whose callers have gone: an API server that
// asks for patience has it for some seconds.
const flightsEnd = 20 * time.Second

func TestMain(m *testing.M) {
	code := m.Run()
	if code == 0 {
		deadline := time.Now().Add(flightsEnd)
		err := goleak.Find()
		for err != nil && time.Now().Before(deadline) {
			err = goleak.Find() // which waits for a moment
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}
