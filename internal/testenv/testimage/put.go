package testimage

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	digest "github.com/opencontainers/go-digest"
)

// Put stores an image (v1.Image) or an index (v1.ImageIndex), with all it refers to, in the
// registry behind a handler. name is "repository:tag", "repository@digest" or "repository", which
// means its tag latest. It returns the digest of what it stored.
func Put(registry http.Handler, name string, what mutate.Appendable) (string, error) {
	repository, reference := name, "latest"
	if at := strings.IndexAny(name, ":@"); at >= 0 {
		repository, reference = name[:at], name[at+1:]
	}
	if err := put(registry, repository, reference, what); err != nil {
		return "", fmt.Errorf("storing %s in a registry: %w", name, err)
	}
	d, err := what.Digest()
	return d.String(), err
}

func put(registry http.Handler, repository, reference string, what mutate.Appendable) error {
	var err error
	switch what := what.(type) {
	case v1.ImageIndex:
		err = putChildren(registry, repository, what)
	case v1.Image:
		err = putBlobs(registry, repository, what)
	default:
		err = fmt.Errorf("%T is neither an image nor an index", what)
	}
	if err != nil {
		return err
	}
	mediaType, err := what.MediaType()
	if err != nil {
		return err
	}
	raw, err := what.(interface{ RawManifest() ([]byte, error) }).RawManifest()
	if err != nil {
		return err
	}
	return PutManifest(registry, repository, reference, string(mediaType), raw)
}

func putChildren(registry http.Handler, repository string, index v1.ImageIndex) error {
	manifest, err := index.IndexManifest()
	if err != nil {
		return err
	}
	for _, entry := range manifest.Manifests {
		var child mutate.Appendable
		if entry.MediaType.IsIndex() {
			child, err = index.ImageIndex(entry.Digest)
		} else {
			child, err = index.Image(entry.Digest)
		}
		if err != nil {
			return err
		}
		if err := put(registry, repository, entry.Digest.String(), child); err != nil {
			return err
		}
	}
	return nil
}

func putBlobs(registry http.Handler, repository string, image v1.Image) error {
	layers, err := image.Layers()
	if err != nil {
		return err
	}
	for _, layer := range layers {
		d, err := layer.Digest()
		if err != nil {
			return err
		}
		// A layer that is there already is not compressed again.
		if send(registry, http.MethodHead, "/v2/"+repository+"/blobs/"+d.String(), "", nil, http.StatusOK) == nil {
			continue
		}
		content, err := layer.Compressed()
		if err != nil {
			return err
		}
		err = send(registry, http.MethodPost, "/v2/"+repository+"/blobs/uploads/?digest="+d.String(), "application/octet-stream", content, http.StatusCreated)
		if err := content.Close(); err != nil {
			return err
		}
		if err != nil {
			return err
		}
	}
	config, err := image.RawConfigFile()
	if err != nil {
		return err
	}
	_, err = PutBlob(registry, repository, config)
	return err
}

// PutBlob stores a blob in a repository and returns its digest.
func PutBlob(registry http.Handler, repository string, content []byte) (string, error) {
	d := digest.FromBytes(content).String()
	return d, send(registry, http.MethodPost, "/v2/"+repository+"/blobs/uploads/?digest="+d, "application/octet-stream", bytes.NewReader(content), http.StatusCreated)
}

// PutManifest stores the bytes of a manifest as they are, under a tag or a digest. A media type of
// "" is not sent.
func PutManifest(registry http.Handler, repository, reference, mediaType string, manifest []byte) error {
	return send(registry, http.MethodPut, "/v2/"+repository+"/manifests/"+reference, mediaType, bytes.NewReader(manifest), http.StatusCreated)
}

func send(registry http.Handler, method, path, contentType string, body io.Reader, want int) error {
	request := httptest.NewRequest(method, path, body)
	if contentType != "" {
		request.Header.Set("Content-Type", contentType)
	}
	response := httptest.NewRecorder()
	if registry.ServeHTTP(response, request); response.Code != want {
		return fmt.Errorf("%s %s: %d %s", method, path, response.Code, response.Body)
	}
	return nil
}
