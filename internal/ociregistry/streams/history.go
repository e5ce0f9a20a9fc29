package streams

import (
	"cmp"
	"slices"
	"strings"
	"time"

	digest "github.com/opencontainers/go-digest"
	imagev1 "github.com/openshift/api/image/v1"

	"weir.dev/weir/internal/imageapi"
	"weir.dev/weir/internal/reference"
	"weir.dev/weir/internal/stream"
)

// policy is what decides, beside a stream itself, where its content may be fetched from.
type policy struct {
	hosts       stream.Registries
	pullThrough bool
	mirror      bool
}

func policyOf(o Options) policy {
	return policy{hosts: o.Hosts, pullThrough: o.PullThrough, mirror: o.Mirror}
}

// own is the repository of an event whose image is the stream's own, or nowhere.
const own = -1

// event is one event of a stream's history that has an image.
type event struct {
	image   digest.Digest
	created time.Time
	head    bool
	// repository is an index into history.repositories, or own.
	repository int
	// off is true when nothing may be fetched for this event's sake, mirror when what is
	// fetched may be kept, insecure when the tag says so of its registry.
	off, mirror, insecure bool
}

// outside is another repository that a history refers to, mostly of another registry.
type outside struct {
	ref reference.PullSpec
	key string // the same for all spellings
	// host is true when an event of the same registry is insecure.
	insecureHost bool
	// head is true when the head of some tag refers to it; off when every event that
	// refers to it is off.
	head, off bool
	// neighbour is the key of a repository of this registry, as whose client it is
	// fetched from; "" for one of another registry.
	neighbour string
}

// history is what follows from one version of a stream. It is not changed once made.
type history struct {
	seq uint64 // of the version
	// events are those with an image, newest first.
	events []event
	// of are the indexes of each image's events, and so newest first too.
	of map[digest.Digest][]int
	// roots are the images: heads before the rest, newer before older.
	roots        []digest.Digest
	repositories []outside
	// ours are the images of this registry, where there are others too.
	ours []digest.Digest
}

// headOf is the image that a tag leads to: that of its newest event, whatever else is in
// its history. It is "" for a tag that has none that is named by a digest.
func headOf(s *imagev1.ImageStream, tag string) digest.Digest {
	newest := stream.LatestEvent(s, tag)
	if newest == nil || !reference.ValidDigest(newest.Image) {
		return ""
	}
	return digest.Digest(newest.Image)
}

// tagsOf are the tags that headOf knows, in order of their bytes.
func tagsOf(s *imagev1.ImageStream) []string {
	tags := make([]string, 0, len(s.Status.Tags))
	for i := range s.Status.Tags {
		if headOf(s, s.Status.Tags[i].Tag) != "" {
			tags = append(tags, s.Status.Tags[i].Tag)
		}
	}
	return tags
}

// newHistory reads the history of a version.
func newHistory(v *version, p policy) *history {
	h := &history{seq: v.seq, of: map[digest.Digest][]int{}}
	r := reader{history: h, policy: p, stream: v.stream, own: ownHosts(v.stream, p.hosts), refs: map[string]int{}, keys: map[string]int{}}
	for i := range v.stream.Status.Tags {
		r.readTag(&v.stream.Status.Tags[i])
	}
	slices.SortStableFunc(h.events, func(a, b event) int { return b.created.Compare(a.created) })
	r.judgeRepositories()
	for i, e := range h.events {
		h.of[e.image] = append(h.of[e.image], i)
	}
	for _, heads := range []bool{true, false} {
		for _, e := range h.events {
			if e.head == heads {
				h.roots = append(h.roots, e.image)
			}
		}
	}
	h.roots = distinct(h.roots)
	if len(h.repositories) == 0 {
		return h
	}
	for _, root := range h.roots {
		if h.ofThisRegistry(root) {
			h.ours = append(h.ours, root)
		}
	}
	h.roots = distinct(append(slices.Clone(h.ours), h.roots...)) // they say more than the others
	return h
}

// reader fills a history.
type reader struct {
	history *history
	policy  policy
	stream  *imagev1.ImageStream
	own     []string
	refs    map[string]int // repositories by the text in front of the digest
	keys    map[string]int // repositories by their key
}

func (r *reader) readTag(t *imagev1.NamedTagEventList) {
	specTag := stream.SpecTag(r.stream, t.Tag)
	says := func(annotation string) bool {
		return r.stream.Annotations[annotation] == disabled || (specTag != nil && specTag.Annotations[annotation] == disabled)
	}
	tag := event{
		off:      !r.policy.pullThrough || says(AnnotationPullThrough),
		mirror:   r.policy.mirror && !says(AnnotationMirror),
		insecure: r.stream.Annotations[imageapi.AnnotationInsecureRepository] == "true" || (specTag != nil && specTag.ImportPolicy.Insecure),
	}
	for i := range t.Items {
		item := &t.Items[i]
		if !reference.ValidDigest(item.Image) {
			continue
		}
		e := tag
		e.image, e.created, e.head = digest.Digest(item.Image), item.Created.Time, i == 0
		e.repository = r.repository(item.DockerImageReference)
		r.history.events = append(r.history.events, e)
	}
}

// repository is the index of the outside repository of a pull spec, or own.
func (r *reader) repository(pullSpec string) int {
	place, _, _ := strings.Cut(pullSpec, "@")
	if i, known := r.refs[place]; known {
		return i
	}
	i := r.parseRepository(pullSpec)
	r.refs[place] = i
	return i
}

func (r *reader) parseRepository(pullSpec string) int {
	spec, err := reference.Parse(pullSpec)
	if err != nil || spec.Name == "" {
		return own
	}
	neighbour := ""
	if slices.Contains(r.own, spec.Registry) {
		// What is no repository here is one of nobody.
		if repo, err := reference.ParseRepository(spec.Namespace + "/" + spec.Name); err == nil {
			if repo.Namespace == r.stream.Namespace && repo.Stream == r.stream.Name {
				return own
			}
			neighbour = repo.Key()
		}
	}
	spec = spec.WithDefaults().AsRepository()
	key := spec.Identity()
	if i, known := r.keys[key]; known {
		return i
	}
	r.history.repositories = append(r.history.repositories, outside{ref: spec, key: key, off: true, neighbour: neighbour})
	i := len(r.history.repositories) - 1
	r.keys[key] = i
	return i
}

// judgeRepositories tells of each repository what its events say together.
func (r *reader) judgeRepositories() {
	insecure := map[string]bool{}
	for _, e := range r.history.events {
		if e.repository == own {
			continue
		}
		repository := &r.history.repositories[e.repository]
		repository.off = repository.off && e.off
		repository.head = repository.head || (e.head && !e.off)
		if e.insecure {
			insecure[repository.ref.ContactHost()] = true
		}
	}
	for i := range r.history.repositories {
		repository := &r.history.repositories[i]
		repository.insecureHost = insecure[repository.ref.ContactHost()]
	}
}

// ownHosts are the names of this registry: those it has and had, and those that the API shows
// streams under. Where the API knows no registry it shows the outside repository that
// the stream follows, which is none of ours.
func ownHosts(s *imagev1.ImageStream, hosts stream.Registries) []string {
	names := append([]string{hosts.Internal, hosts.Public}, hosts.Former...)
	shown := []string{s.Status.PublicDockerImageRepository}
	if s.Status.DockerImageRepository != s.Spec.DockerImageRepository {
		shown = append(shown, s.Status.DockerImageRepository)
	}
	for _, repository := range shown {
		if spec, err := reference.Parse(repository); err == nil {
			names = append(names, spec.Registry)
		}
	}
	// A pull spec without a registry is docker.io's, never ours.
	return slices.DeleteFunc(names, func(name string) bool { return name == "" })
}

// distinct leaves out repetitions; the first of each stays.
func distinct(list []digest.Digest) []digest.Digest {
	seen := make(map[digest.Digest]struct{}, len(list))
	kept := list[:0]
	for _, d := range list {
		if _, found := seen[d]; !found {
			seen[d] = struct{}{}
			kept = append(kept, d)
		}
	}
	return kept
}

// has tells whether an image is in the history itself.
func (h *history) has(image digest.Digest) bool {
	_, found := h.of[image]
	return found
}

// eventsOf are the indexes of the events of several images, newest first.
func (h *history) eventsOf(images []digest.Digest) []int {
	if len(images) == 1 {
		return h.of[images[0]]
	}
	var indexes []int
	for _, image := range images {
		indexes = append(indexes, h.of[image]...)
	}
	slices.SortFunc(indexes, cmp.Compare)
	return slices.Compact(indexes)
}
