package stream

import (
	"slices"

	imagev1 "github.com/openshift/api/image/v1"

	"weir.dev/weir/internal/reference"
)

// Registries are the hosts under which the integrated registry is known. Both may
// be empty.
type Registries struct {
	Internal string // host[:port] inside the cluster
	Public   string // host[:port] outside
	// Former are those that it had before, by which stored events call it.
	Former []string
}

// Has tells whether a host is a name of the integrated registry.
func (r Registries) Has(host string) bool {
	return host != "" && (host == r.Internal || host == r.Public || slices.Contains(r.Former, host))
}

// SetRepositories computes the repository fields of status. They are computed on
// every read, never trusted from storage. Without an integrated registry the stream
// is where spec.dockerImageRepository says.
func SetRepositories(s *imagev1.ImageStream, hosts Registries) {
	s.Status.DockerImageRepository = s.Spec.DockerImageRepository
	if hosts.Internal != "" {
		s.Status.DockerImageRepository = repositoryIn(hosts.Internal, s)
	}
	s.Status.PublicDockerImageRepository = ""
	if hosts.Public != "" {
		s.Status.PublicDockerImageRepository = repositoryIn(hosts.Public, s)
	}
}

func repositoryIn(host string, s *imagev1.ImageStream) string {
	return host + "/" + s.Namespace + "/" + s.Name
}

// TrimRepositories strips a tag or digest from the repository fields of a stream
// that goes out. Validation refuses them, but a stored stream may be older than it.
func TrimRepositories(s *imagev1.ImageStream) {
	s.Spec.DockerImageRepository = trimRepository(s.Spec.DockerImageRepository)
	s.Status.DockerImageRepository = trimRepository(s.Status.DockerImageRepository)
}

func trimRepository(repository string) string {
	if repository == "" {
		return ""
	}
	spec, err := reference.Parse(repository)
	if err != nil || (spec.Tag == "" && spec.ID == "") {
		return repository
	}
	return spec.AsRepository().String()
}

// ResolveReference is where a client pulls what a tag points to: the reference of
// its head or, if the spec tag's policy is Local, the image in the stream's own
// repository. It is not ok when the tag has no head. Images that were never
// imported, and streams without a repository, have no local place.
func ResolveReference(s *imagev1.ImageStream, tag string) (ref string, ok bool) {
	event := LatestEvent(s, tag)
	if event == nil {
		return "", false
	}
	return ResolveEvent(s, SpecTag(s, tag), event), true
}

// ResolveEvent is ResolveReference for one event of the history of specTag, which
// may be nil.
func ResolveEvent(s *imagev1.ImageStream, specTag *imagev1.TagReference, event *imagev1.TagEvent) string {
	local := specTag != nil && specTag.ReferencePolicy.Type == imagev1.LocalTagReferencePolicy
	if local && event.Image != "" && s.Status.DockerImageRepository != "" {
		return s.Status.DockerImageRepository + "@" + event.Image
	}
	return event.DockerImageReference
}
