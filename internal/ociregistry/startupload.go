package ociregistry

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"strconv"

	digest "github.com/opencontainers/go-digest"

	"weir.dev/weir/internal/blobstore"
	"weir.dev/weir/internal/reference"
)

// startUpload serves POST of an upload: a mount, a blob in one request, or the start of an
// upload.
func (x *exchange) startUpload() error {
	query := x.r.URL.Query()
	if query.Has("mount") {
		d, mounted, err := x.mount(query.Get("mount"), query.Get("from"))
		if err != nil {
			return err
		}
		if mounted {
			return x.blobCreated(d, "mounted")
		}
	}
	if query.Has("digest") {
		return x.uploadAtOnce(query.Get("digest"))
	}
	algorithm := cmp.Or(digest.Algorithm(query.Get("digest-algorithm")), digest.Canonical)
	if !supported(algorithm) {
		return &Error{
			Code: CodeDigestInvalid, Message: "a digest must be sha256 or sha512",
			Detail: map[string]string{"digest-algorithm": fmt.Sprintf("%.100s", algorithm)},
		}
	}
	if err := x.sessions.full(x.callerName()); err != nil {
		return x.refuseUpload("user", err)
	}
	upload, err := x.Store.StartUpload(x.context(), x.repo.Key(), algorithm)
	if many := (*blobstore.TooManyUploads)(nil); errors.As(err, &many) {
		return x.refuseUpload("namespace", err)
	}
	if err != nil {
		return fmt.Errorf("starting an upload to %s: %w", x.repo, err)
	}
	x.sessions.used(x.callerName(), upload.ID())
	uploadsTotal.WithLabelValues("started").Inc()
	if x.MinChunkBytes > 0 {
		x.w.Header().Set("OCI-Chunk-Min-Length", strconv.FormatInt(x.MinChunkBytes, 10))
	}
	return x.answerUpload(upload, http.StatusAccepted)
}

// refuseUpload counts an upload rejected by a limit.
func (x *exchange) refuseUpload(bound string, err error) error {
	uploadsRefused.WithLabelValues(bound).Inc()
	return err
}

// uploadAtOnce receives a whole blob in one request.
func (x *exchange) uploadAtOnce(wanted string) error {
	want, err := parseDigest(wanted)
	if err != nil {
		return err
	}
	to, err := x.uploads()
	if err != nil {
		return err
	}
	if _, err := x.Store.PutStream(x.context(), to, want, &x.body, -1); err != nil {
		return x.refuseContent(want, err)
	}
	return x.blobCreated(want, "completed")
}

// uploads returns the repository for blobs that no manifest names yet.
func (x *exchange) uploads() (blobstore.Repository, error) {
	s, err := x.Directory.Stream(x.context(), x.repo, false)
	if err != nil {
		return blobstore.Repository{}, err
	}
	to := s.Repository().Uploads()
	if to.Owner() == "" {
		return to, x.noNamespace()
	}
	return to, nil
}

// refuseContent counts a blob whose content does not match its digest.
func (x *exchange) refuseContent(want digest.Digest, err error) error {
	if mismatch := (*blobstore.DigestMismatch)(nil); errors.As(err, &mismatch) {
		uploadsTotal.WithLabelValues("refused").Inc()
	}
	return fmt.Errorf("receiving blob %s of %s: %w", want, x.repo, err)
}

// blobCreated sends the response for a stored blob, with its location.
func (x *exchange) blobCreated(d digest.Digest, outcome string) error {
	uploadsTotal.WithLabelValues(outcome).Inc()
	header := x.w.Header()
	header.Set("Location", versionPrefix+x.repo.String()+"/blobs/"+d.String())
	header.Set("Docker-Content-Digest", d.String())
	header.Set("Content-Length", "0")
	x.w.WriteHeader(http.StatusCreated)
	return nil
}

// answerUpload closes the upload and then sends where it continues. The order matters: the
// client may send its next request before this one has ended.
func (x *exchange) answerUpload(u *blobstore.Upload, status int) error {
	if err := u.Close(); err != nil {
		return fmt.Errorf("keeping upload %s to %s: %w", u.ID(), x.repo, err)
	}
	x.describeUpload(u)
	x.w.WriteHeader(status)
	return nil
}

// describeUpload sets the headers that say where an upload continues.
//
// The location is a path. Specification and HTTP allow that, and podman, skopeo, buildah,
// docker, containerd, crane, oras, helm and cosign resolve it against the request URL. An absolute
// URL would need the scheme and host that the client sees through proxies and port forwards, and
// would be wrong if one of these sends no headers about it.
func (x *exchange) describeUpload(u *blobstore.Upload) {
	header := x.w.Header()
	header.Set("Location", uploadPath(x.repo, u.ID()))
	header.Set("Range", uploadRange(u.Size()))
	header.Set("Docker-Upload-Uuid", u.ID())
	header.Set("Cache-Control", "no-store")
}

func uploadPath(repo reference.Repository, id string) string {
	return versionPrefix + repo.String() + "/blobs/uploads/" + id
}
