package standalone

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestControllersFlag(t *testing.T) {
	for _, c := range []struct {
		flag     string
		on       []string
		mistaken bool
	}{
		{flag: "*", on: []string{ControllerImport, ControllerSchedule}},
		{flag: "*,-import", on: []string{ControllerSchedule}},
		{flag: "import", on: []string{ControllerImport}},
		{flag: "-schedule,import", on: []string{ControllerImport}},
		{flag: "none"},
		{flag: "none,import", mistaken: true},
		{flag: "*,-imports", mistaken: true},
	} {
		t.Run(c.flag, func(t *testing.T) {
			o := NewOptions()
			o.DataDir = t.TempDir()
			o.Controllers = strings.Split(c.flag, ",")
			err := o.complete()
			if (err != nil) != c.mistaken {
				t.Fatalf("complete: %v, want a mistake: %t", err, c.mistaken)
			}
			if err != nil {
				if !strings.Contains(err.Error(), "--controllers") {
					t.Errorf("%q does not name the flag", err)
				}
				return
			}
			var on []string
			for _, name := range controllerNames {
				if o.runs(name) {
					on = append(on, name)
				}
			}
			if strings.Join(on, ",") != strings.Join(c.on, ",") {
				t.Errorf("runs %v, want %v", on, c.on)
			}
		})
	}
}

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
