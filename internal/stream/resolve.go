package stream

import (
	"fmt"

	imagev1 "github.com/openshift/api/image/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"weir.dev/weir/internal/reference"
)

// Resolver turns what spec tags name into history. One Resolver serves one write.
type Resolver struct {
	// Now is the time of events made by this write; for a new stream its
	// creationTimestamp, so that both agree.
	Now metav1.Time
	// Hosts are the names of the integrated registry.
	Hosts Registries
	// Source loads another stream. It is called once for each stream. Its error is an
	// API error NotFound when there is no such stream; the stream is only read.
	Source func(namespace, name string) (*imagev1.ImageStream, error)
}

// Resolve records in status what the new and changed spec tags of s refer to, and
// lets the tags that track a changed one follow. It runs after the generations are
// set (PrepareCreate, PrepareUpdate…), so a tag that was only reset to be imported
// again is not resolved again. old is nil for a new stream.
//
// Tags that are to be imported are left to the importer. A tag whose source tag has
// no history yet stays without one. Errors are on spec.tags[TAG].from.name; other
// tags are resolved all the same.
func (r Resolver) Resolve(s, old *imagev1.ImageStream) field.ErrorList {
	var errs field.ErrorList
	CompleteCopySources(s) // before the spec has heads that would pass for earlier copies
	sources := sourceCache{load: r.Source}
	for i := range s.Spec.Tags {
		tag := &s.Spec.Tags[i]
		if !tagChanged(SpecTag(old, tag.Name), tag, s.Namespace) {
			continue
		}
		event, err := r.event(s, old, tag, &sources)
		if err != nil {
			errs = append(errs, err)
		} else if event != nil {
			AddEvent(s, tag.Name, *event)
		}
	}
	RecordCopies(s, sources.copied...)
	follow(s, changedHeads(s, old))
	return errs
}

// FromPath is the path of a spec tag's from in errors.
func FromPath(tag string) *field.Path {
	return field.NewPath("spec", "tags").Key(tag).Child("from")
}

// event makes the event that a spec tag stands for, or nil if there is none now.
func (r Resolver) event(s, old *imagev1.ImageStream, tag *imagev1.TagReference, sources *sourceCache) (*imagev1.TagEvent, *field.Error) {
	path := FromPath(tag.Name).Child("name")
	switch tag.From.Kind {
	case KindDockerImage:
		return r.dockerEvent(s, old, tag, path)
	case KindImageStreamTag, KindImageStreamImage:
	default:
		return nil, field.Invalid(path, tag.From.Name, fmt.Sprintf("a tag cannot refer to the kind %q", tag.From.Kind))
	}
	if tag.From.Name == "" {
		return nil, nil // validation says that it is required
	}
	source, ok := sourceOf(s, tag.From)
	if !ok {
		return nil, field.Invalid(path, tag.From.Name, "must be "+wantedForm(tag.From.Kind))
	}
	from := s
	if !source.isIn(s) {
		var err error
		if from, err = sources.get(source.Namespace, source.Stream); err != nil {
			if apierrors.IsNotFound(err) {
				return nil, field.NotFound(path, tag.From.Name)
			}
			return nil, field.Invalid(path, tag.From.Name, fmt.Sprintf("loading image stream %s/%s: %v", source.Namespace, source.Stream, err))
		}
	}
	event, err := r.copyEvent(from, source)
	if err != nil {
		return nil, field.Invalid(path, tag.From.Name, fmt.Sprintf("error generating tag event: %v", err))
	}
	if event == nil {
		return nil, nil
	}
	event.Generation = s.Generation
	if from != s {
		inheritProof(s, from, event.Image)
	}
	r.recordCopy(s, event, from, sources)
	if !tag.Reference {
		event.DockerImageReference = r.rehome(event.DockerImageReference, source, s)
	}
	return event, nil
}

// dockerEvent records a reference that is not to be imported, as it is written.
func (r Resolver) dockerEvent(s, old *imagev1.ImageStream, tag *imagev1.TagReference, path *field.Path) (*imagev1.TagEvent, *field.Error) {
	if tag.From.Name == "" {
		return nil, field.Invalid(path, tag.From.Name, "must be a pull spec")
	}
	if !tag.Reference {
		return nil, nil
	}
	// An import onto a reference tag sets its source and its head in one write; the
	// image that was imported is more exact than the reference.
	if now := LatestEvent(s, tag.Name); now != nil && now.Image != "" && headMoved(LatestEvent(old, tag.Name), now) {
		return nil, nil
	}
	return &imagev1.TagEvent{
		Created:              r.now(),
		DockerImageReference: tag.From.Name,
		Generation:           s.Generation,
	}, nil
}

// copyEvent finds the source's event. It returns a copy: the source stream, which
// may be the one being written, must not take on generations of this write.
func (r Resolver) copyEvent(from *imagev1.ImageStream, source tagSource) (*imagev1.TagEvent, error) {
	if source.Tag != "" {
		latest := LatestEvent(from, source.Tag)
		if latest == nil {
			return nil, nil
		}
		event := *latest
		return &event, nil
	}
	found, err := FindEvent(from, source.Image)
	if err != nil {
		return nil, err
	}
	event := *found
	event.Created = r.now()
	return &event, nil
}

// recordCopy notes where an image of the integrated registry is copied from. Whether the
// writer may pull there was decided before.
func (r Resolver) recordCopy(s *imagev1.ImageStream, event *imagev1.TagEvent, from *imagev1.ImageStream, sources *sourceCache) {
	if spec, err := reference.Parse(event.DockerImageReference); from == s || event.Image == "" || err != nil || !r.Hosts.Has(spec.Registry) {
		return
	}
	sources.copied = append(sources.copied, Copied{event.Image, from})
}

// rehome rewrites a reference to exactly the source's repository in the integrated
// registry, under the internal host name it has or had, to the repository of s, so that
// pulls ask for the permission on s. Anything else stays as it is.
func (r Resolver) rehome(ref string, source tagSource, s *imagev1.ImageStream) string {
	if r.Hosts.Internal == "" {
		return ref
	}
	spec, err := reference.Parse(ref)
	if err != nil || !r.Hosts.HasInternal(spec.Registry) || spec.Namespace != source.Namespace || spec.Name != source.Stream {
		return ref
	}
	spec.Registry, spec.Namespace, spec.Name = r.Hosts.Internal, s.Namespace, s.Name
	return spec.String()
}

// now has whole seconds: what the API prints and stores.
func (r Resolver) now() metav1.Time { return r.Now.Rfc3339Copy() }

func wantedForm(kind string) string {
	if kind == KindImageStreamTag {
		return "TAG or STREAM:TAG"
	}
	return "ID or STREAM@ID"
}

// sourceCache loads each stream once, errors included, and has what was copied from them.
type sourceCache struct {
	load   func(namespace, name string) (*imagev1.ImageStream, error)
	loaded map[types.NamespacedName]loadedSource
	copied []Copied
}

type loadedSource struct {
	stream *imagev1.ImageStream
	err    error
}

func (c *sourceCache) get(namespace, name string) (*imagev1.ImageStream, error) {
	key := types.NamespacedName{Namespace: namespace, Name: name}
	if got, found := c.loaded[key]; found {
		return got.stream, got.err
	}
	if c.loaded == nil {
		c.loaded = map[types.NamespacedName]loadedSource{}
	}
	s, err := c.load(namespace, name)
	c.loaded[key] = loadedSource{stream: s, err: err}
	return s, err
}

// CrossNamespaceSource is a stream of another namespace from which tags are copied.
type CrossNamespaceSource struct {
	Namespace string
	Name      string
	Tags      []string // the spec tags that name it, sorted
}

// CrossNamespaceSources are the streams of other namespaces that new and changed
// tags of s name, each once, in order of the first tag that does. The writer must be
// allowed to pull from each: get imagestreams/layers. Tags with a malformed from are
// left to Resolve. old is nil for a new stream.
func CrossNamespaceSources(s, old *imagev1.ImageStream) []CrossNamespaceSource {
	var sources []CrossNamespaceSource
	index := map[types.NamespacedName]int{}
	for i := range s.Spec.Tags {
		tag := &s.Spec.Tags[i]
		if !namesOtherNamespace(s, tag.From) || !tagChanged(SpecTag(old, tag.Name), tag, s.Namespace) {
			continue
		}
		source, ok := sourceOf(s, tag.From)
		if !ok {
			continue
		}
		key := types.NamespacedName{Namespace: source.Namespace, Name: source.Stream}
		at, found := index[key]
		if !found {
			at = len(sources)
			index[key] = at
			sources = append(sources, CrossNamespaceSource{Namespace: key.Namespace, Name: key.Name})
		}
		sources[at].Tags = append(sources[at].Tags, tag.Name)
	}
	return sources
}

func namesOtherNamespace(s *imagev1.ImageStream, from *corev1.ObjectReference) bool {
	return from != nil && from.Namespace != "" && from.Namespace != s.Namespace
}
