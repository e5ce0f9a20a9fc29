package importrequest

import (
	"slices"

	imagev1 "github.com/openshift/api/image/v1"

	"weir.dev/weir/internal/reference"
	"weir.dev/weir/internal/stream"
)

// Hosts are the registries that a need is to be met from, sorted: those of tags that
// can be asked for, and that of the repository.
func Hosts(s *imagev1.ImageStream, need stream.ImportNeed) []string {
	var hosts []string
	if need.Repository {
		hosts = append(hosts, hostOf(s.Spec.DockerImageRepository))
	}
	for _, name := range need.Tags {
		if tag := stream.SpecTag(s, name); tag != nil && Askable(tag) {
			hosts = append(hosts, hostOf(tag.From.Name))
		}
	}
	slices.Sort(hosts)
	return slices.Compact(hosts)
}

// OfHost is that part of a need which one registry meets.
func OfHost(s *imagev1.ImageStream, need stream.ImportNeed, host string) stream.ImportNeed {
	part := stream.ImportNeed{Repository: need.Repository && hostOf(s.Spec.DockerImageRepository) == host}
	for _, name := range need.Tags {
		if tag := stream.SpecTag(s, name); tag != nil && Askable(tag) && hostOf(tag.From.Name) == host {
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
