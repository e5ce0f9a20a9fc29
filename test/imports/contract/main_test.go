// Package contract_test holds the tests of imports as their users see them: the whole
// server over HTTP, against registries that demand logins, throttle, lie and move.
// One Weir serves all tests, with a namespace and registries for each.
package contract_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"weir.dev/weir/internal/standalone"
	"weir.dev/weir/internal/testenv"
)

// Names that the server of these tests is configured with.
const (
	internalHost = "registry.internal.example:5000"
	externalHost = "registry.example.com"
	// unreachable is a host where nobody listens.
	unreachable = "127.0.0.1:1"
	nodeLogin   = "node:node-password"
)

var (
	env *testenv.Env
	// mirror stands behind the rules of registries.conf, guarded knows the node's login.
	mirror, guarded *testenv.Registry
)

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "weir-imports-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	mirror, guarded = testenv.StartRegistry(), testenv.StartRegistry()
	defer mirror.Close()
	defer guarded.Close()
	config, registries, err := writeSettings(dir)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return testenv.Run(m, func(e *testenv.Env) { env = e }, func(o *standalone.Options) {
		o.ConfigFile, o.Outbound.RegistriesConf = config, registries
		o.InternalHostname, o.ExternalHostname = internalHost, externalHost
	})
}

func writeSettings(dir string) (config, registries string, err error) {
	config, registries = filepath.Join(dir, "weir.yaml"), filepath.Join(dir, "registries.conf")
	node := filepath.Join(dir, "node.json")
	auth := fmt.Sprintf(`{"auths":{%q:{"username":"node","password":"node-password"}}}`, guarded.Host)
	if err := os.WriteFile(node, []byte(auth), 0o600); err != nil {
		return "", "", err
	}
	rules := fmt.Sprintf(`
[[registry]]
location = "blocked.example"
blocked = true

[[registry]]
location = "%[1]s/by-digest"
mirror-by-digest-only = true
[[registry.mirror]]
location = "%[2]s/mirrored"
insecure = true

[[registry]]
location = "%[1]s/by-tag"
[[registry.mirror]]
location = "%[2]s/mirrored"
insecure = true
pull-from-mirror = "tag-only"

[[registry]]
location = "%[1]s/in-order"
[[registry.mirror]]
location = "%[2]s/nothing-here"
insecure = true
[[registry.mirror]]
location = "%[2]s/mirrored"
insecure = true

[[registry]]
location = "%[1]s/behind-a-dead-one"
[[registry.mirror]]
location = "%[1]s/dead"
insecure = true
[[registry.mirror]]
location = "%[2]s/mirrored"
insecure = true

[[registry]]
location = "%[1]s/never-the-source"
blocked = true
[[registry.mirror]]
location = "%[2]s/mirrored"
insecure = true
`, unreachable, mirror.Host)
	if err := os.WriteFile(registries, []byte(rules), 0o600); err != nil {
		return "", "", err
	}
	return config, registries, testenv.WriteConfig(config, fmt.Sprintf(`
imports:
  nodeCredentialsFile: %s
  defaultPlatform: {os: linux, architecture: arm64}
  hosts: {retries: 0}
`, node))
}
