package streams

import (
	"cmp"
	"slices"
	"strings"
	"time"

	digest "github.com/opencontainers/go-digest"
	imagev1 "github.com/openshift/api/image/v1"

	"weir.dev/weir/internal/blobstore"
	"weir.dev/weir/internal/imageapi"
	"weir.dev/weir/internal/reference"
	"weir.dev/weir/internal/stream"
)

// policy has the settings that decide, beside a stream itself, where its content may be
// fetched from.
type policy struct {
	hosts       stream.Registries
	plainHTTP   bool
	pullThrough bool
	mirror      bool
	atImport    bool
}

func policyOf(o Options) policy {
	return policy{hosts: o.Hosts, plainHTTP: o.PlainHTTP, pullThrough: o.PullThrough, mirror: o.Mirror, atImport: o.MirrorImports}
}

// keepsAtImport reports whether images of a tag are kept at import. What follows a tag that
// has no spec is up to the stream.
func (p policy) keepsAtImport(s *imagev1.ImageStream, specTag *imagev1.TagReference) bool {
	if specTag != nil {
		switch specTag.Annotations[annotationMirror] {
		case always:
			return true
		case pulled:
			return false
		}
	}
	switch s.Annotations[annotationMirror] {
	case always:
		return true
	case pulled:
		return false
	}
	return p.atImport
}

// own stands for the stream's own repository, or none, in an event.
const own = -1

// event is one event of a stream's history that has an image.
type event struct {
	image   digest.Digest
	created time.Time
	head    bool
	// repository is an index into history.repositories, or own.
	repository int
	// off is true when nothing may be fetched because of this event, mirror when fetched
	// content may be kept, insecure when the tag calls its registry insecure.
	off, mirror, insecure bool
	// atImport is true when the image is kept without waiting for a pull.
	atImport bool
}

// outside is a repository, other than the stream's own, that a history refers to, mostly of
// another registry.
type outside struct {
	ref reference.PullSpec
	key string // the same for all spellings
	// host is true when an event of the same registry is insecure.
	insecureHost bool
	// head is true when the head of some tag refers to it; off when every event that
	// refers to it is off.
	head, off bool
	// local is true for a repository of this registry, which is read over its API like by
	// any client.
	local bool
}

// history is the history of one version of a stream, prepared for lookups. It is never
// changed.
type history struct {
	seq uint64 // of the version
	// events are those with an image, newest first.
	events []event
	// of are the indexes of each image's events, and so newest first too.
	of map[digest.Digest][]int
	// roots are the images: heads before the rest, newer before older.
	roots        []digest.Digest
	repositories []outside
	// copies are the repositories of this registry that images were copied from.
	copies map[digest.Digest][]blobstore.Repository
	// copied are the roots that were copied from repositories of this registry, imported
	// those with an event that names a repository other than the stream's own.
	copied, imported []digest.Digest
	// atImport are the roots that are kept at import.
	atImport []digest.Digest
}

// headOf returns the image of a tag's newest event, "" if that event has no image, or one that
// is not named by a digest.
func headOf(s *imagev1.ImageStream, tag string) digest.Digest {
	newest := stream.LatestEvent(s, tag)
	if newest == nil || !reference.ValidDigest(newest.Image) {
		return ""
	}
	return digest.Digest(newest.Image)
}

// tagsOf returns the tags with a head after last, sorted bytewise: at most n, or all if n is
// negative. more reports whether others follow. The cost is that of the page.
func tagsOf(s *imagev1.ImageStream, last string, n int) (tags []string, more bool) {
	after := s.Status.Tags // sorted
	if last != "" {
		i, found := slices.BinarySearchFunc(after, last, func(t imagev1.NamedTagEventList, name string) int { return strings.Compare(t.Tag, name) })
		if found {
			i++
		}
		after = after[i:]
	}
	tags = []string{}
	if n == 0 {
		return tags, false
	}
	for i := range after {
		if t := &after[i]; len(t.Items) == 0 || !reference.ValidDigest(t.Items[0].Image) {
			continue
		}
		if len(tags) == n {
			return tags, true
		}
		tags = append(tags, after[i].Tag)
	}
	return tags, false
}

// newHistory reads the history of a version.
func newHistory(v *version, p policy) *history {
	h := &history{seq: v.seq, of: map[digest.Digest][]int{}}
	r := reader{history: h, policy: p, stream: v.stream, own: shownHosts(v.stream), refs: map[ref]int{}, keys: map[string]int{}}
	for i := range v.stream.Status.Tags {
		r.readTag(&v.stream.Status.Tags[i])
	}
	slices.SortStableFunc(h.events, func(a, b event) int { return b.created.Compare(a.created) })
	r.summarizeRepositories()
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
	h.readCopies(v.stream)
	for _, root := range h.roots {
		if len(h.copies[root]) > 0 {
			h.copied = append(h.copied, root)
		}
		if slices.ContainsFunc(h.of[root], func(i int) bool { return h.events[i].repository != own }) {
			h.imported = append(h.imported, root)
		}
		if slices.ContainsFunc(h.of[root], func(i int) bool { return h.events[i].atImport }) {
			h.atImport = append(h.atImport, root)
		}
	}
	return h
}

// readCopies reads which images were copied from which repositories.
func (h *history) readCopies(s *imagev1.ImageStream) {
	h.copies = map[digest.Digest][]blobstore.Repository{}
	for _, source := range stream.CopySources(s) {
		from := blobstore.Repository{Name: source.Repository, Stream: string(source.UID)}
		for _, image := range source.Images {
			if d := digest.Digest(image); h.has(d) {
				h.copies[d] = append(h.copies[d], from)
			}
		}
	}
}

// reader fills a history.
type reader struct {
	history *history
	policy  policy
	stream  *imagev1.ImageStream
	own     []string
	refs    map[ref]int
	keys    map[string]int // repositories by their key
}

// ref is the text in front of a digest; local is true if its host is this registry.
type ref struct {
	place string
	local bool
}

func (r *reader) readTag(t *imagev1.NamedTagEventList) {
	specTag := stream.SpecTag(r.stream, t.Tag)
	says := func(annotation string) bool {
		return r.stream.Annotations[annotation] == disabled || (specTag != nil && specTag.Annotations[annotation] == disabled)
	}
	tag := event{
		off:      !r.policy.pullThrough || says(annotationPullThrough),
		mirror:   r.policy.mirror && !says(annotationMirror),
		insecure: r.stream.Annotations[imageapi.AnnotationInsecureRepository] == "true" || (specTag != nil && specTag.ImportPolicy.Insecure),
	}
	keep := r.policy.keepsAtImport(r.stream, specTag)
	for i := range t.Items {
		item := &t.Items[i]
		if !reference.ValidDigest(item.Image) {
			continue
		}
		e := tag
		e.image, e.created, e.head = digest.Digest(item.Image), item.Created.Time, i == 0
		e.repository = r.repository(item.DockerImageReference, e.created)
		if e.repository != own && r.history.repositories[e.repository].local {
			e.insecure = r.policy.plainHTTP
		}
		e.atImport = keep && e.mirror && !e.off && e.repository != own && !r.history.repositories[e.repository].local
		r.history.events = append(r.history.events, e)
	}
}

// repository is the index of the outside repository of a pull spec that was recorded at a
// time, or own.
func (r *reader) repository(pullSpec string, recorded time.Time) int {
	place, _, _ := strings.Cut(pullSpec, "@")
	host, _, _ := strings.Cut(place, "/")
	local := slices.Contains(r.own, host) || r.policy.hosts.HadAt(host, recorded)
	key := ref{place, local}
	i, known := r.refs[key]
	if !known {
		i = r.parseRepository(pullSpec, local)
		r.refs[key] = i
	}
	return i
}

func (r *reader) parseRepository(pullSpec string, local bool) int {
	spec, err := reference.Parse(pullSpec)
	switch {
	case err != nil || spec.Name == "":
		return own
	case local:
		return r.localRepository(spec)
	}
	return r.addRepository(spec, false)
}

// localRepository is repository for a pull spec of this registry, which may have been recorded
// under a former host name.
func (r *reader) localRepository(spec reference.PullSpec) int {
	repo, err := reference.ParseRepository(spec.Namespace + "/" + spec.Name)
	if err != nil || repo.Namespace == r.stream.Namespace && repo.Stream == r.stream.Name {
		return own
	}
	spec.Registry = r.policy.hosts.Internal
	return r.addRepository(spec, true)
}

func (r *reader) addRepository(spec reference.PullSpec, local bool) int {
	spec = spec.WithDefaults().AsRepository()
	key := spec.Identity()
	if i, known := r.keys[key]; known {
		return i
	}
	r.history.repositories = append(r.history.repositories, outside{ref: spec, key: key, off: true, local: local})
	i := len(r.history.repositories) - 1
	r.keys[key] = i
	return i
}

// summarizeRepositories sets the fields of each repository that follow from its events.
func (r *reader) summarizeRepositories() {
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

// shownHosts are the host names of this registry in the status of a stream. Where the API
// server has no name of a registry, the status has the outside repository of the spec instead, which
// is left out.
func shownHosts(s *imagev1.ImageStream) []string {
	var names []string
	shown := []string{s.Status.PublicDockerImageRepository}
	if s.Status.DockerImageRepository != s.Spec.DockerImageRepository {
		shown = append(shown, s.Status.DockerImageRepository)
	}
	for _, repository := range shown {
		if spec, err := reference.Parse(repository); err == nil && spec.Registry != "" {
			names = append(names, spec.Registry)
		}
	}
	return names
}

// distinct removes duplicates and keeps the first of each.
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

// has reports whether an image is in the history itself.
func (h *history) has(image digest.Digest) bool {
	_, found := h.of[image]
	return found
}

// eventsOf returns the indexes of the events of several images, newest first.
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
