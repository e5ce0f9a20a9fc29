package host

import (
	"runtime/debug"

	apiversion "k8s.io/apimachinery/pkg/version"
	basecompatibility "k8s.io/component-base/compatibility"
	baseversion "k8s.io/component-base/version"
)

const kubernetesModule = "k8s.io/kubernetes"

// versioned tells, at /version, which Kubernetes this host is built from.
// Kubernetes' own builds have that stamped in by the linker; `go run` and
// `go build` have not.
type versioned struct {
	basecompatibility.EffectiveVersion
}

// Info implements basecompatibility.EffectiveVersion.
func (v versioned) Info() *apiversion.Info {
	info := *v.EffectiveVersion.Info()
	info.GitVersion, info.GitCommit = "v"+baseversion.DefaultKubeBinaryVersion+".0+weir", ""
	build, ok := debug.ReadBuildInfo()
	if !ok {
		return &info
	}
	for _, module := range build.Deps {
		if module.Path == kubernetesModule {
			info.GitVersion = module.Version + "+weir"
		}
	}
	for _, setting := range build.Settings {
		if setting.Key == "vcs.revision" {
			info.GitCommit = setting.Value
		}
	}
	return &info
}
