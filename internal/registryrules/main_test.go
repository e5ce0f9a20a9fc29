package registryrules

import (
	"errors"
	"log"
	"os"
	"path/filepath"
	"testing"

	"go.uber.org/goleak"

	"weir.dev/weir/internal/reference"
)

// TestMain runs the tests in a home folder whose registries.conf blocks what
// they use: no test may depend on the host's configuration, and the library
// that reads such files looks the home folder up only once per process.
func TestMain(m *testing.M) {
	home, err := os.MkdirTemp("", "registryrules-home")
	if err != nil {
		log.Fatal(err)
	}
	blocked := []byte("[[registry]]\nlocation = \"quay.io\"\nblocked = true\n")
	for _, path := range []string{"registries.conf", "registries.conf.d/drop-in.conf"} {
		full := filepath.Join(home, ".config/containers", path)
		if err := errors.Join(os.MkdirAll(filepath.Dir(full), 0o700), os.WriteFile(full, blocked, 0o600)); err != nil {
			log.Fatal(err)
		}
	}
	os.Setenv("HOME", home)
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		os.RemoveAll(home)
		os.Exit(code)
	}))
}

func parse(t *testing.T, s string) reference.PullSpec {
	t.Helper()
	ref, err := reference.Parse(s)
	if err != nil {
		t.Fatalf("parsing %q: %v", s, err)
	}
	return ref
}
