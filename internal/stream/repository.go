package stream

import (
	"slices"
	"time"

	imagev1 "github.com/openshift/api/image/v1"

	"weir.dev/weir/internal/reference"
)

// Registries are the host names of the integrated registry. All may be empty.
type Registries struct {
	Internal string // host[:port] inside the cluster
	Public   string // host[:port] outside
	// Former are earlier internal names, which stored tag events may have.
	Former []string
	// Remembered are further earlier names, each with the time until which the registry had
	// it. Since then the host may be another registry's.
	Remembered map[string]time.Time
}

// Has reports whether a host is or was a name of the integrated registry.
func (r Registries) Has(host string) bool {
	return host != "" && (host == r.Public || r.HasInternal(host))
}

// HasInternal reports whether a host is or was the internal name of the integrated
// registry.
func (r Registries) HasInternal(host string) bool {
	_, remembered := r.Remembered[host]
	return host != "" && (host == r.Internal || remembered || slices.Contains(r.Former, host))
}

// HadAt reports whether a host was a name of the integrated registry at a time.
func (r Registries) HadAt(host string, at time.Time) bool {
	until, remembered := r.Remembered[host]
	if remembered && host != r.Internal && host != r.Public && !slices.Contains(r.Former, host) {
		return !at.After(until)
	}
	return r.Has(host)
}

// Current are the names without the former ones.
func (r Registries) Current() Registries {
	return Registries{Internal: r.Internal, Public: r.Public}
}

// SetRepositories computes the repository fields of status. They are computed on
// every read, never trusted from storage. Without an integrated registry the stream
// is spec.dockerImageRepository.
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

// resolveReference is where a client pulls what a tag points to: the reference of
// its head or, if the spec tag's policy is Local, the image in the stream's own
// repository. It is not ok when the tag has no head. Images that were never
// imported, and streams without a repository, have no local place.
func resolveReference(s *imagev1.ImageStream, tag string) (ref string, ok bool) {
	event := LatestEvent(s, tag)
	if event == nil {
		return "", false
	}
	return ResolveEvent(s, SpecTag(s, tag), event), true
}

// ResolveEvent is resolveReference for one event of the history of specTag, which
// may be nil.
func ResolveEvent(s *imagev1.ImageStream, specTag *imagev1.TagReference, event *imagev1.TagEvent) string {
	local := specTag != nil && specTag.ReferencePolicy.Type == imagev1.LocalTagReferencePolicy
	if local && event.Image != "" && s.Status.DockerImageRepository != "" {
		return s.Status.DockerImageRepository + "@" + event.Image
	}
	return event.DockerImageReference
}
