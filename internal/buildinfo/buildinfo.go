// Package buildinfo provides the version of this program.
package buildinfo

import (
	"runtime/debug"
	"strings"
)

// version is set by the linker: -X weir.dev/weir/internal/buildinfo.version=v1.2.3.
var version string

// unknown stands for what a build does not say: `go run` leaves the commit out.
const unknown = "unknown"

// Info is where a build comes from. Fields are "unknown" where the build does not say.
type Info struct {
	// Version is that of a release, or made up by Go from the commit.
	Version string `json:"version"`
	// Commit is the full hash, with "-dirty" after it if files were changed; Date is the
	// commit's time in RFC 3339.
	Commit string `json:"commit"`
	Date   string `json:"date"`
	// Go is Go's version, and Kubernetes that of the control plane inside.
	Go         string `json:"go"`
	Kubernetes string `json:"kubernetes"`
}

const kubernetesModule = "k8s.io/kubernetes"

// Get returns where this program comes from.
func Get() Info {
	build, ok := debug.ReadBuildInfo()
	if !ok {
		build = &debug.BuildInfo{}
	}
	return from(version, build)
}

func from(version string, build *debug.BuildInfo) Info {
	settings := map[string]string{}
	for _, s := range build.Settings {
		settings[s.Key] = s.Value
	}
	info := Info{Version: version, Commit: settings["vcs.revision"], Date: settings["vcs.time"], Go: build.GoVersion}
	if info.Version == "" {
		info.Version = strings.Trim(build.Main.Version, "()")
	}
	if info.Commit != "" && settings["vcs.modified"] == "true" {
		info.Commit += "-dirty"
	}
	for _, module := range build.Deps {
		if module.Path == kubernetesModule {
			info.Kubernetes = module.Version
		}
	}
	for _, field := range []*string{&info.Version, &info.Commit, &info.Date, &info.Go, &info.Kubernetes} {
		if *field == "" {
			*field = unknown
		}
	}
	return info
}

// Known is a field's value, "" where the build does not say.
func Known(value string) string {
	if value == unknown {
		return ""
	}
	return value
}
