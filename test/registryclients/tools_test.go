package registryclients_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
)

// toolsDir names a folder that is searched for the clients before PATH.
const toolsDir = "WEIR_TEST_TOOLS"

// origins tells where each client comes from; a test that does not find one says so.
var origins = map[string]string{
	"podman":  "apt-get install podman",
	"buildah": "apt-get install buildah",
	"skopeo":  "apt-get install skopeo",
	"umoci":   "apt-get install umoci",
	"gpg":     "apt-get install gnupg",
	"busybox": "apt-get install busybox-static",
	"crane":   "go install github.com/google/go-containerregistry/cmd/crane@v0.22.1",
	"helm":    "go install helm.sh/helm/v4/cmd/helm@v4.3.1",
	"cosign":  "go install github.com/sigstore/cosign/v3/cmd/cosign@v3.1.3",
}

var (
	toolsMu sync.Mutex
	tools   = map[string]string{}
)

// tool is the path of a client. In CI, a machine that does not have it fails the test:
// what no real client has done is not shown. Elsewhere the test is left out.
func tool(t testing.TB, name string) string {
	t.Helper()
	toolsMu.Lock()
	defer toolsMu.Unlock()
	if tools[name] == "" {
		path, err := find(name)
		if err != nil {
			refuse := t.Skipf
			if os.Getenv("CI") == "true" {
				refuse = t.Fatalf
			}
			refuse("this test runs the real %s, which is not there: %v (%s)", name, err, origins[name])
		}
		tools[name] = path
	}
	return tools[name]
}

func find(name string) (string, error) {
	if origins[name] == "" {
		return "", fmt.Errorf("nobody said where %s comes from", name)
	}
	if dir := os.Getenv(toolsDir); dir != "" {
		path, err := exec.LookPath(filepath.Join(dir, name))
		if err == nil {
			return path, nil
		}
	}
	return exec.LookPath(name)
}
