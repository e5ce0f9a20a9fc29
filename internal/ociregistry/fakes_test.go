package ociregistry_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"

	digest "github.com/opencontainers/go-digest"
	"k8s.io/apiserver/pkg/authentication/user"

	"weir.dev/weir/internal/ociregistry"
	"weir.dev/weir/internal/reference"
)

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
