package ociregistry_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"

	digest "github.com/opencontainers/go-digest"
	imagev1 "github.com/openshift/api/image/v1"
	"k8s.io/apiserver/pkg/authentication/user"

	"weir.dev/weir/internal/ociregistry"
	"weir.dev/weir/internal/reference"
)

// directory keeps streams in memory. The one over the API is tested with the API.
type directory struct {
	mu      sync.Mutex
	streams map[string]*stream
	pushes  []ociregistry.Push
	// failure is what every call returns, refuse what Record returns.
	failure, refuse error
	asked           int
	signatures      []imagev1.ImageSignature
}

type stream struct {
	path string
	tags map[string]digest.Digest
	// images are those of the history, with all that they refer to.
	images map[digest.Digest]*image
}

type image struct {
	origin   ociregistry.Origin
	blobs    map[digest.Digest]int64
	children []digest.Digest
}

func newDirectory() *directory { return &directory{streams: map[string]*stream{}} }

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

func (d *directory) Manifest(_ context.Context, repo reference.Repository, m digest.Digest) (ociregistry.Origin, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	s, err := d.find(repo)
	if err != nil {
		return ociregistry.Origin{}, err
	}
	for name, i := range s.images {
		if name == m || slices.Contains(i.children, m) {
			o := i.origin
			o.Manifest, o.Size, o.Held = m, -1, len(o.Sources) == 0
			if s.images[m] == nil {
				o.Parents = []digest.Digest{name}
			}
			return o, nil
		}
	}
	return ociregistry.Origin{}, ociregistry.NewError(ociregistry.CodeManifestUnknown, "no manifest %s", m)
}

func (d *directory) Blob(_ context.Context, repo reference.Repository, b digest.Digest) (ociregistry.Origin, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	s, err := d.find(repo)
	if err != nil {
		return ociregistry.Origin{}, err
	}
	var found *ociregistry.Origin
	for name, i := range s.images {
		size, ok := i.blobs[b]
		if name == b {
			size, ok = -1, true
		}
		// What any of the images that refer to it came from is a source.
		if !ok {
			continue
		}
		if found == nil {
			found = &ociregistry.Origin{Manifest: name, Size: size}
		}
		found.Held = found.Held || len(i.origin.Sources) == 0
		found.Sources = append(found.Sources, i.origin.Sources...)
		found.Through = append(found.Through, i.origin.Through...)
	}
	if found == nil {
		return ociregistry.Origin{}, ociregistry.NewError(ociregistry.CodeBlobUnknown, "no blob %s", b)
	}
	return *found, nil
}

func (d *directory) Tags(_ context.Context, repo reference.Repository) ([]string, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	s, err := d.find(repo)
	if err != nil {
		return nil, err
	}
	var tags []string
	for tag := range s.tags {
		tags = append(tags, tag)
	}
	slices.Sort(tags)
	return tags, nil
}

func (d *directory) Record(_ context.Context, p ociregistry.Push) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.refuse != nil {
		return d.refuse
	}
	d.pushes = append(d.pushes, p)
	if len(p.Tags) > 0 {
		i := imageOf(p.Manifest)
		for _, missing := range p.Missing {
			delete(i.blobs, missing)
			i.children = slices.DeleteFunc(i.children, func(c digest.Digest) bool { return c == missing })
		}
		d.put(p.Repository, p.Digest, i, p.Tags...)
	}
	return nil
}

// put makes an image part of a stream, as pushes, imports and taggings do.
func (d *directory) put(repo reference.Repository, m digest.Digest, i *image, tags ...string) {
	s := d.streams[repo.Key()]
	if s == nil {
		s = &stream{path: repo.Path, tags: map[string]digest.Digest{}, images: map[digest.Digest]*image{}}
		d.streams[repo.Key()] = s
	}
	s.images[m] = i
	for _, tag := range tags {
		s.tags[tag] = m
	}
}

func imageOf(manifest []byte) *image {
	type descriptor struct {
		Digest digest.Digest `json:"digest"`
		Size   int64         `json:"size"`
	}
	var m struct {
		Config            descriptor
		Layers, Manifests []descriptor
	}
	_ = json.Unmarshal(manifest, &m)
	i := &image{blobs: map[digest.Digest]int64{}}
	for _, b := range append(m.Layers, m.Config) {
		i.blobs[b.Digest] = b.Size
	}
	for _, c := range m.Manifests {
		i.children = append(i.children, c.Digest)
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
	for _, other := range s.tags {
		if other == head {
			return nil
		}
	}
	delete(s.images, head)
	return nil
}

func (d *directory) DeleteManifest(_ context.Context, repo reference.Repository, m digest.Digest) (bool, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	s, err := d.find(repo)
	if err != nil {
		return false, err
	}
	_, found := s.images[m]
	delete(s.images, m)
	for tag, head := range s.tags {
		if head == m {
			delete(s.tags, tag)
		}
	}
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

func (d *directory) HoldersOf(b digest.Digest) []reference.Repository {
	d.mu.Lock()
	defer d.mu.Unlock()
	var holders []reference.Repository
	for key, s := range d.streams {
		for _, i := range s.images {
			if _, ok := i.blobs[b]; ok {
				repo, _ := reference.ParseRepository(key)
				holders = append(holders, repo)
			}
		}
	}
	return holders
}

// access lets the user "admin" do everything, and others what tests allow them.
type access struct {
	mu      sync.Mutex
	allowed map[string]bool // "user action repository" or "user verb resource/subresource"
	asked   []string
}

func newAccess() *access { return &access{allowed: map[string]bool{}} }

func (a *access) allow(user string, action ociregistry.Action, repo string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.allowed[fmt.Sprintf("%s %s %s", user, action, repo)] = true
}

func (a *access) Authenticate(r *http.Request) (ociregistry.Caller, error) {
	name, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !ok {
		e := ociregistry.NewError(ociregistry.CodeUnauthorized, "authentication is required")
		e.Challenge = `Bearer realm="http://test/openshift/token"`
		return ociregistry.Caller{}, e
	}
	return ociregistry.Caller{User: &user.DefaultInfo{Name: name}, Scheme: "Bearer"}, nil
}

func (a *access) may(user, what string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.asked = append(a.asked, user+" "+what)
	if user == "admin" || a.allowed[user+" "+what] {
		return nil
	}
	e := ociregistry.NewError(ociregistry.CodeUnauthorized, "access denied")
	e.Challenge = `Bearer realm="http://test/openshift/token",error="insufficient_scope"`
	return e
}

func (a *access) Allow(_ context.Context, c ociregistry.Caller, repo reference.Repository, action ociregistry.Action) error {
	return a.may(c.User.GetName(), fmt.Sprintf("%s %s", action, repo))
}

func (a *access) AllowCluster(_ context.Context, c ociregistry.Caller, verb, resource, subresource string) error {
	return a.may(c.User.GetName(), fmt.Sprintf("%s %s/%s", verb, resource, subresource))
}

func (a *access) AllowCatalog(c ociregistry.Caller) error {
	return a.may(c.User.GetName(), "list catalog")
}

func (a *access) Challenge(*http.Request, string, ...ociregistry.Action) string {
	return `Bearer realm="http://test/openshift/token"`
}

func (a *access) ServeToken(w http.ResponseWriter, _ *http.Request) {
	_, _ = io.WriteString(w, `{"token":"anonymous"}`)
}

// outside is another registry.
type outside struct {
	mu        sync.Mutex
	manifests map[digest.Digest][]byte
	blobs     map[digest.Digest][]byte
	fetched   map[digest.Digest]int
	// breakAt ends blobs early with an error, when it is not 0.
	breakAt int64
	failure error
	// keep stores what passes through.
	keep func(ctx context.Context, d digest.Digest, content []byte) error
}

func newOutside() *outside {
	return &outside{manifests: map[digest.Digest][]byte{}, blobs: map[digest.Digest][]byte{}, fetched: map[digest.Digest]int{}}
}

func (o *outside) take(from map[digest.Digest][]byte, d digest.Digest, code ociregistry.Code) ([]byte, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.fetched[d]++
	if o.failure != nil {
		return nil, o.failure
	}
	if content, ok := from[d]; ok {
		return content, nil
	}
	return nil, ociregistry.NewError(code, "%s is not there either", d)
}

func (o *outside) Manifest(_ context.Context, w ociregistry.Wanted) ([]byte, string, error) {
	content, err := o.take(o.manifests, w.Digest, ociregistry.CodeManifestUnknown)
	return content, mediaTypeIn(content), err
}

func (o *outside) Blob(_ context.Context, w ociregistry.Wanted) (ociregistry.Blob, error) {
	content, err := o.take(o.blobs, w.Digest, ociregistry.CodeBlobUnknown)
	if err != nil {
		return ociregistry.Blob{}, err
	}
	return ociregistry.Blob{
		Size: int64(len(content)),
		Open: func(ctx context.Context, offset int64) (io.ReadCloser, error) {
			var src io.Reader = bytes.NewReader(content[offset:])
			if o.breakAt > 0 {
				src = io.MultiReader(io.LimitReader(src, o.breakAt), brokenReader{})
			}
			return &keeping{Reader: src, end: func() error {
				if o.keep == nil {
					return nil
				}
				return o.keep(ctx, w.Digest, content)
			}}, nil
		},
	}, nil
}

func (o *outside) Stat(_ context.Context, w ociregistry.Wanted) (int64, error) {
	content, err := o.take(o.blobs, w.Digest, ociregistry.CodeBlobUnknown)
	return int64(len(content)), err
}

// keeping does something before it ends.
type keeping struct {
	io.Reader
	end func() error
}

func (k *keeping) Read(p []byte) (int, error) {
	n, err := k.Reader.Read(p)
	if errors.Is(err, io.EOF) {
		if endErr := k.end(); endErr != nil {
			return n, endErr
		}
	}
	return n, err
}

func (k *keeping) Close() error { return nil }

type brokenReader struct{}

func (brokenReader) Read([]byte) (int, error) { return 0, fmt.Errorf("the line broke") }
