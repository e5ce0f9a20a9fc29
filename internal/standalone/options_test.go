package standalone

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestFlagsOverrideTheFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "config.yaml")
	text := "apiVersion: config.weir.dev/v1alpha1\nkind: WeirConfiguration\nregistry: {internalHostname: \"a:1\", externalHostnames: [\"b:2\", \"c:3\"]}\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	o := NewOptions()
	o.DataDir, o.ConfigFile, o.ExternalHostname = t.TempDir(), file, "d:4"
	if err := o.complete(); err != nil {
		t.Fatal(err)
	}
	hosts := o.Config.Registries()
	if hosts.Internal != "a:1" || hosts.Public != "d:4" {
		t.Errorf("hosts are %+v, want a:1 of the file and d:4 of the flag", hosts)
	}
}

func TestMistakesNameTheirFlag(t *testing.T) {
	o := NewOptions()
	o.DataDir, o.InternalHostname, o.Controllers = t.TempDir(), "no host", []string{"x"}
	err := o.complete()
	if err == nil {
		t.Fatal("no mistake was found")
	}
	for _, flag := range []string{"--internal-registry-hostname", "--controllers"} {
		if !strings.Contains(err.Error(), flag) {
			t.Errorf("%q does not name %s", err, flag)
		}
	}
}

func TestReachableFromElsewhere(t *testing.T) {
	for _, c := range []struct {
		api, registry string
		enabled, want bool
	}{
		{"127.0.0.1", "127.0.0.1", true, false},
		{"::1", "127.0.0.2", true, false},
		{"0.0.0.0", "127.0.0.1", true, true},
		{"10.1.2.3", "127.0.0.1", true, true},
		{"127.0.0.1", "::", true, true},
		{"127.0.0.1", "::", false, false},
	} {
		o := NewOptions()
		o.Host.ControlPlane.SecureServing.BindAddress = net.ParseIP(c.api)
		o.Registry.BindAddress, o.Registry.Enabled = net.ParseIP(c.registry), c.enabled
		if got := o.reachableFromElsewhere(); got != c.want {
			t.Errorf("API at %s, registry at %s: %t", c.api, c.registry, got)
		}
	}
}
