package importrequest

import (
	"slices"

	imagev1 "github.com/openshift/api/image/v1"

	"weir.dev/weir/internal/reference"
	"weir.dev/weir/internal/stream"
)

// Hosts returns the registries of a need, sorted: those of importable tags, and that of the
// repository.
func Hosts(s *imagev1.ImageStream, need stream.ImportNeed) []string {
	var hosts []string
	if need.Repository {
		hosts = append(hosts, hostOf(s.Spec.DockerImageRepository))
	}
	for _, name := range need.Tags {
		if tag := stream.SpecTag(s, name); tag != nil && Importable(tag) {
			hosts = append(hosts, hostOf(tag.From.Name))
		}
	}
	slices.Sort(hosts)
	return slices.Compact(hosts)
}

// OfHost returns the part of a need from one registry.
func OfHost(s *imagev1.ImageStream, need stream.ImportNeed, host string) stream.ImportNeed {
	part := stream.ImportNeed{Repository: need.Repository && hostOf(s.Spec.DockerImageRepository) == host}
	for _, name := range need.Tags {
		if tag := stream.SpecTag(s, name); tag != nil && Importable(tag) && hostOf(tag.From.Name) == host {
			part.Tags = append(part.Tags, name)
		}
	}
	return part
}

func hostOf(pullSpec string) string {
	spec, err := reference.Parse(pullSpec)
	if err != nil {
		return ""
	}
	return spec.WithDefaults().ContactHost()
}
