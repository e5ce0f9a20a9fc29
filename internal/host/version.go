package host

import (
	apiversion "k8s.io/apimachinery/pkg/version"
	basecompatibility "k8s.io/component-base/compatibility"
	baseversion "k8s.io/component-base/version"

	"weir.dev/weir/internal/buildinfo"
)

// versioned adds to /version the Kubernetes that this host is built from, and from which
// commit of Weir. Kubernetes' own builds have that stamped in by the linker; `go run` and
// `go build` have not.
type versioned struct {
	basecompatibility.EffectiveVersion
}

// Info implements basecompatibility.EffectiveVersion.
func (v versioned) Info() *apiversion.Info {
	info, build := *v.EffectiveVersion.Info(), buildinfo.Get()
	info.GitVersion = "v" + baseversion.DefaultKubeBinaryVersion + ".0+weir"
	if build.Kubernetes = buildinfo.Known(build.Kubernetes); build.Kubernetes != "" {
		info.GitVersion = build.Kubernetes + "+weir"
	}
	info.GitCommit, info.BuildDate = buildinfo.Known(build.Commit), buildinfo.Known(build.Date)
	info.GitTreeState = "" // it is in the commit
	return &info
}
