package ociregistry_test

import (
	"context"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	digest "github.com/opencontainers/go-digest"
	imagev1 "github.com/openshift/api/image/v1"
	"k8s.io/apiserver/pkg/authentication/user"

	"weir.dev/weir/internal/blobstore"
	"weir.dev/weir/internal/manifest"
	"weir.dev/weir/internal/ociregistry"
	"weir.dev/weir/internal/reference"
)

// directory keeps streams in memory. The one over the API is tested with the API.
type directory struct {
	mu      sync.Mutex
	streams map[string]*stream
	images  map[digest.Digest]*ociregistry.Image
	// noNamespace are namespaces that do not exist, and generations counts the times that
	// one was made anew.
	noNamespace map[string]bool
	generations map[string]int
	serial      uint64
	pushes      []ociregistry.Push
	corrected   []string // pull specs
	// failure is what every call returns, refuse what Record returns.
	failure, refuse error
	asked           int
	signatures      []imagev1.ImageSignature
}

// stream is an image stream.
type stream struct {
	path, uid string
	version   uint64
	tags      map[string]digest.Digest
	// images is the history; sources are those of images from other registries, copies the
	// repositories that images were copied from.
	images  []digest.Digest
	sources map[digest.Digest][]ociregistry.Source
	copies  map[digest.Digest][]blobstore.Repository
	view    *streamView // of this version
}

func newDirectory() *directory {
	return &directory{
		streams: map[string]*stream{}, images: map[digest.Digest]*ociregistry.Image{},
		noNamespace: map[string]bool{}, generations: map[string]int{},
	}
}

func (d *directory) find(repo reference.Repository) (*stream, error) {
	d.asked++
	if d.failure != nil {
		return nil, d.failure
	}
	if s := d.streams[repo.Key()]; s != nil {
		return s, nil
	}
	return nil, ociregistry.NewError(ociregistry.CodeNameUnknown, "no stream %s", repo)
}

func (d *directory) calls() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.asked
}

func (d *directory) Resolve(_ context.Context, repo reference.Repository, tag string) (digest.Digest, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	s, err := d.find(repo)
	if err != nil {
		return "", err
	}
	if head := s.tags[tag]; head != "" {
		return head, nil
	}
	return "", ociregistry.NewError(ociregistry.CodeManifestUnknown, "no tag %s", tag)
}

// Contents are the images without another source.
func (d *directory) Contents() iter.Seq[ociregistry.Content] {
	return func(yield func(ociregistry.Content) bool) {
		d.mu.Lock()
		defer d.mu.Unlock()
		for _, key := range slices.Sorted(maps.Keys(d.streams)) {
			s := d.streams[key]
			for _, m := range s.images {
				if len(s.sources[m]) > 0 {
					continue
				}
				repo, err := reference.ParseRepository(key)
				if err != nil {
					continue
				}
				c := ociregistry.Content{Repository: repo, Image: m, Version: s.version}
				for _, tag := range slices.Sorted(maps.Keys(s.tags)) {
					if s.tags[tag] == m {
						c.Tags = append(c.Tags, tag)
					}
				}
				d.mu.Unlock()
				goOn := yield(c)
				d.mu.Lock()
				if !goOn {
					return
				}
			}
		}
	}
}

// streamView is a version of a stream.
type streamView struct {
	repository blobstore.Repository
	stream
}

func (v *streamView) Repository() blobstore.Repository { return v.repository }
func (v *streamView) Version() uint64                  { return v.version }
func (v *streamView) Since() time.Time                 { return time.Time{} }

// KeptAtImport are the images whose first source is to be kept.
func (v *streamView) KeptAtImport() []digest.Digest {
	return slices.DeleteFunc(slices.Clone(v.images), func(m digest.Digest) bool { return len(v.sources[m]) == 0 || !v.sources[m][0].Mirror })
}

func (v *streamView) Copied() []digest.Digest {
	return slices.DeleteFunc(slices.Clone(v.images), func(m digest.Digest) bool { return len(v.copies[m]) == 0 })
}

func (v *streamView) Imported() []digest.Digest {
	return slices.DeleteFunc(slices.Clone(v.images), func(m digest.Digest) bool { return len(v.sources[m]) == 0 })
}

func (v *streamView) CopiedFrom(m digest.Digest) []blobstore.Repository { return v.copies[m] }

func (v *streamView) ManifestSources(images []digest.Digest) []ociregistry.Source {
	var all []ociregistry.Source
	for _, m := range images {
		all = append(all, v.sources[m]...)
	}
	return all
}

func (v *streamView) BlobSources(images []digest.Digest) []ociregistry.Source {
	return v.ManifestSources(images)
}

func (d *directory) Stream(_ context.Context, repo reference.Repository, live bool) (ociregistry.Stream, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !live && d.streams[repo.Key()] != nil {
		return d.view(repo), nil
	}
	d.asked++
	if d.failure != nil {
		return nil, d.failure
	}
	return d.view(repo), nil
}

func (d *directory) Fresh(ctx context.Context, repo reference.Repository) (ociregistry.Stream, error) {
	return d.Stream(ctx, repo, true)
}

func (d *directory) view(repo reference.Repository) *streamView {
	s := d.streams[repo.Key()]
	if s != nil && s.view != nil && s.view.version == s.version {
		return s.view
	}
	v := &streamView{repository: blobstore.Repository{Name: repo.Key()}}
	if !d.noNamespace[repo.Namespace] {
		v.repository.Namespace = fmt.Sprintf("%s-%d", strings.ReplaceAll(repo.Namespace, ".", "-"), d.generations[repo.Namespace])
	}
	if s != nil {
		v.stream = *s
		s.view = v
		v.images, v.sources, v.copies = slices.Clone(s.images), maps.Clone(s.sources), maps.Clone(s.copies)
		v.repository.Stream = s.uid
	}
	return v
}

func (d *directory) Image(_ context.Context, m digest.Digest) (*ociregistry.Image, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.images[m], d.failure
}

func (d *directory) CopiesOf(from blobstore.Repository) []ociregistry.Copy {
	d.mu.Lock()
	defer d.mu.Unlock()
	var copies []ociregistry.Copy
	for key, s := range d.streams {
		c := ociregistry.Copy{To: blobstore.Repository{Name: key, Stream: s.uid}}
		for _, m := range s.images {
			if slices.ContainsFunc(s.copies[m], func(r blobstore.Repository) bool { return r.Name == from.Name && r.Stream == from.Stream }) {
				c.Images = append(c.Images, m)
			}
		}
		if len(c.Images) > 0 {
			copies = append(copies, c)
		}
	}
	return copies
}

func (d *directory) Tags(_ context.Context, repo reference.Repository, last string, n int) (tags []string, more bool, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	s, err := d.find(repo)
	if err != nil {
		return nil, false, err
	}
	for _, tag := range slices.Sorted(maps.Keys(s.tags)) {
		if tag > last {
			tags = append(tags, tag)
		}
	}
	if n < 0 || n >= len(tags) {
		return tags, false, nil
	}
	return tags[:n], n > 0, nil
}

func (d *directory) Record(_ context.Context, p ociregistry.Push) (ociregistry.Stream, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.refuse != nil {
		return nil, d.refuse
	}
	d.pushes = append(d.pushes, p)
	d.describe(p.Digest, p.Manifest)
	for _, tag := range p.Tags {
		d.tag(d.ensure(p.Repository), tag, p.Digest)
	}
	return d.view(p.Repository), nil
}

func (d *directory) Correct(_ context.Context, p ociregistry.Push, pullSpec string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.corrected = append(d.corrected, pullSpec)
	d.images[p.Digest] = imageOf(p.Digest, p.Manifest)
	return d.refuse
}

func (d *directory) Released(blobstore.Repository) {}

// ensure is the stream of a repository, made where there is none.
func (d *directory) ensure(repo reference.Repository) *stream {
	s := d.streams[repo.Key()]
	if s == nil {
		d.serial++
		s = &stream{
			path: repo.Path, uid: fmt.Sprintf("uid-%d", d.serial), tags: map[string]digest.Digest{},
			sources: map[digest.Digest][]ociregistry.Source{}, copies: map[digest.Digest][]blobstore.Repository{},
		}
		d.streams[repo.Key()] = s
	}
	return s
}

// tag makes an image the head of a tag.
func (d *directory) tag(s *stream, tag string, m digest.Digest) {
	d.serial++
	s.version = d.serial
	if !slices.Contains(s.images, m) {
		s.images = append([]digest.Digest{m}, s.images...)
	}
	s.tags[tag] = m
}

// describe makes the Image of a manifest.
func (d *directory) describe(m digest.Digest, content []byte) {
	if d.images[m] == nil {
		d.images[m] = imageOf(m, content)
	}
}

func imageOf(d digest.Digest, content []byte) *ociregistry.Image {
	i := &ociregistry.Image{Digest: d}
	m, err := manifest.Read(content)
	if err != nil {
		return i
	}
	for _, p := range m.Parts() {
		part := ociregistry.Part{Digest: p.Digest, MediaType: p.MediaType, Size: p.Size}
		if p.Size == 0 {
			part.Size = -1
		}
		if m.Format == manifest.FormatList {
			i.Children = append(i.Children, part)
		} else {
			i.Blobs = append(i.Blobs, part)
		}
	}
	return i
}

func (d *directory) DeleteTag(_ context.Context, repo reference.Repository, tag string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	s, err := d.find(repo)
	if err != nil {
		return err
	}
	if s.tags[tag] == "" {
		return ociregistry.NewError(ociregistry.CodeManifestUnknown, "no tag %s", tag)
	}
	head := s.tags[tag]
	delete(s.tags, tag)
	d.serial++
	s.version = d.serial
	for _, other := range s.tags {
		if other == head {
			return nil
		}
	}
	s.forget(head)
	return nil
}

// forget removes an image from the history.
func (s *stream) forget(m digest.Digest) {
	s.images = slices.DeleteFunc(s.images, func(other digest.Digest) bool { return other == m })
	delete(s.sources, m)
	delete(s.copies, m)
}

func (d *directory) DeleteManifest(_ context.Context, repo reference.Repository, m digest.Digest) (bool, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	s, err := d.find(repo)
	if err != nil {
		return false, err
	}
	found := slices.Contains(s.images, m)
	s.forget(m)
	d.serial++
	s.version = d.serial
	maps.DeleteFunc(s.tags, func(_ string, head digest.Digest) bool { return head == m })
	return found, nil
}

func (d *directory) Repositories(_ context.Context, _ user.Info, last string, n int) ([]string, bool, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	var names []string
	for key, s := range d.streams {
		namespace, _, _ := strings.Cut(key, "/")
		if name := namespace + "/" + s.path; name > last {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names[:min(n, len(names))], len(names) > n, d.failure
}

func (d *directory) Signatures(_ context.Context, repo reference.Repository, _ digest.Digest) ([]imagev1.ImageSignature, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	_, err := d.find(repo)
	return d.signatures, err
}

func (d *directory) AddSignature(_ context.Context, _ user.Info, s *imagev1.ImageSignature) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if slices.ContainsFunc(d.signatures, func(o imagev1.ImageSignature) bool { return o.Name == s.Name }) {
		return ociregistry.NewError(ociregistry.CodeSignatureExists, "there is one")
	}
	d.signatures = append(d.signatures, *s)
	return nil
}

// imported makes an image of another registry the head of a tag.
func (d *directory) imported(repo reference.Repository, tag string, content []byte, sources ...ociregistry.Source) {
	d.mu.Lock()
	defer d.mu.Unlock()
	m := digest.FromBytes(content)
	d.describe(m, content)
	s := d.ensure(repo)
	s.sources[m] = sources
	d.tag(s, tag, m)
}

// copied makes an image of another stream the head of a tag, as copying its tag does.
func (d *directory) copied(from, to reference.Repository, tag string, m digest.Digest) {
	d.mu.Lock()
	defer d.mu.Unlock()
	source := d.streams[from.Key()]
	s := d.ensure(to)
	s.copies[m] = slices.Concat(s.copies[m], []blobstore.Repository{{Name: from.Key(), Stream: source.uid}}, source.copies[m])
	if sources := source.sources[m]; len(sources) > 0 {
		s.sources[m] = sources
	}
	d.tag(s, tag, m)
}

// deleted deletes a stream, and returns what its links belong to.
func (d *directory) deleted(repo reference.Repository) blobstore.Repository {
	d.mu.Lock()
	defer d.mu.Unlock()
	gone := d.view(repo).repository
	delete(d.streams, repo.Key())
	return gone
}
