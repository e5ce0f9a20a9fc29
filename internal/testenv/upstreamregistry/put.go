package upstreamregistry

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// stored is what a registry holds already. Blobs are the same in all its repositories,
// so that an image lands in many of them at the cost of its manifest.
type stored struct{ blobs map[string]bool }

// Put stores an image (v1.Image) or a list of images (v1.ImageIndex) under each of the
// names, "repository:tag", and returns its digest. It is for one goroutine at a time.
func (r *Registry) Put(t TB, what mutate.Appendable, names ...string) string {
	t.Helper()
	d, err := what.Digest()
	if err != nil {
		t.Fatalf("storing an image in a registry: %v", err)
	}
	for _, name := range names {
		at := strings.LastIndex(name, ":")
		if at < 0 {
			t.Fatalf("storing an image in a registry: %q is not repository:tag", name)
		}
		if err := r.put(name[:at], name[at+1:], what); err != nil {
			t.Fatalf("storing %s in a registry: %v", name, err)
		}
	}
	return d.String()
}

func (r *Registry) put(repository, target string, what mutate.Appendable) error {
	switch what := what.(type) {
	case v1.ImageIndex:
		return r.putList(repository, target, what)
	case v1.Image:
		return r.putImage(repository, target, what)
	}
	return fmt.Errorf("%T is neither an image nor a list of images", what)
}

func (r *Registry) putList(repository, target string, list v1.ImageIndex) error {
	index, err := list.IndexManifest()
	if err != nil {
		return err
	}
	for _, entry := range index.Manifests {
		var part mutate.Appendable
		if entry.MediaType.IsIndex() {
			part, err = list.ImageIndex(entry.Digest)
		} else {
			part, err = list.Image(entry.Digest)
		}
		if err != nil {
			return err
		}
		if err := r.put(repository, entry.Digest.String(), part); err != nil {
			return err
		}
	}
	return r.putManifest(repository, target, list)
}

func (r *Registry) putImage(repository, target string, image v1.Image) error {
	layers, err := image.Layers()
	if err != nil {
		return err
	}
	for _, layer := range layers {
		d, err := layer.Digest()
		if err != nil {
			return err
		}
		if err := r.putBlob(repository, d, layer.Compressed); err != nil {
			return err
		}
	}
	config, err := image.ConfigName()
	if err != nil {
		return err
	}
	open := func() (io.ReadCloser, error) {
		raw, err := image.RawConfigFile()
		return io.NopCloser(bytes.NewReader(raw)), err
	}
	if err := r.putBlob(repository, config, open); err != nil {
		return err
	}
	return r.putManifest(repository, target, image)
}

func (r *Registry) putBlob(repository string, d v1.Hash, open func() (io.ReadCloser, error)) error {
	if r.stored.blobs[d.String()] {
		return nil
	}
	content, err := open()
	if err != nil {
		return err
	}
	defer content.Close()
	if err := r.write(http.MethodPost, "/v2/"+repository+"/blobs/uploads/?digest="+d.String(), "application/octet-stream", content); err != nil {
		return err
	}
	r.stored.blobs[d.String()] = true
	return nil
}

func (r *Registry) putManifest(repository, target string, what interface {
	RawManifest() ([]byte, error)
	MediaType() (types.MediaType, error)
}) error {
	raw, err := what.RawManifest()
	if err != nil {
		return err
	}
	mediaType, err := what.MediaType()
	if err != nil {
		return err
	}
	return r.write(http.MethodPut, "/v2/"+repository+"/manifests/"+target, string(mediaType), bytes.NewReader(raw))
}

// write asks the registry's content itself, past counters and hooks.
func (r *Registry) write(method, path, contentType string, body io.Reader) error {
	request := httptest.NewRequest(method, path, body)
	request.Header.Set("Content-Type", contentType)
	answer := httptest.NewRecorder()
	r.content.ServeHTTP(answer, request)
	if answer.Code != http.StatusCreated {
		return fmt.Errorf("%s %s: %d %s", method, path, answer.Code, answer.Body)
	}
	return nil
}
