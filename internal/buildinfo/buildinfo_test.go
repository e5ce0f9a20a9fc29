package buildinfo

import (
	"runtime/debug"
	"testing"
)

func TestFrom(t *testing.T) {
	stamped := &debug.BuildInfo{
		GoVersion: "go1.26.0", Main: debug.Module{Version: "v0.3.1-0.20261127-abc"},
		Deps:     []*debug.Module{{Path: "k8s.io/api", Version: "v1"}, {Path: kubernetesModule, Version: "v1.37.1"}},
		Settings: []debug.BuildSetting{{Key: "vcs.revision", Value: "abc"}, {Key: "vcs.time", Value: "2026-11-27T10:00:00Z"}},
	}
	changed := *stamped
	changed.Settings = append(changed.Settings, debug.BuildSetting{Key: "vcs.modified", Value: "true"})
	for _, test := range []struct {
		name    string
		version string
		build   *debug.BuildInfo
		want    Info
	}{
		{"a release", "v1.2.3", stamped, Info{"v1.2.3", "abc", "2026-11-27T10:00:00Z", "go1.26.0", "v1.37.1"}},
		{"Go's version", "", stamped, Info{"v0.3.1-0.20261127-abc", "abc", "2026-11-27T10:00:00Z", "go1.26.0", "v1.37.1"}},
		{"changed files", "", &changed, Info{"v0.3.1-0.20261127-abc", "abc-dirty", "2026-11-27T10:00:00Z", "go1.26.0", "v1.37.1"}},
		{"go run", "", &debug.BuildInfo{GoVersion: "go1.26.0", Main: debug.Module{Version: "(devel)"}}, Info{"devel", unknown, unknown, "go1.26.0", unknown}},
		{"nothing", "", &debug.BuildInfo{}, Info{unknown, unknown, unknown, unknown, unknown}},
	} {
		if got := from(test.version, test.build); got != test.want {
			t.Errorf("%s: %+v, want %+v", test.name, got, test.want)
		}
	}
	if Known(unknown) != "" || Known("abc") != "abc" {
		t.Error("Known is wrong")
	}
}
