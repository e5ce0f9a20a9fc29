package ociregistry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	digest "github.com/opencontainers/go-digest"

	"weir.dev/weir/internal/blobstore"
	"weir.dev/weir/internal/imageapi"
	"weir.dev/weir/internal/reference"
)

// maxTags is how many tags one push may move. The specification requires at least ten.
const maxTags = imageapi.MaxMappingTags

// recordTimeout bounds the writes of a push or a deletion.
const recordTimeout = 5 * time.Minute

// putManifest serves PUT of a manifest: by tag, by digest, and by digest with tags.
//
// The order of the steps makes an acknowledged push complete and a failed one harmless: the
// parts are linked, the manifest is stored and linked, the stream gets its tag event, the
// manifest is listed as a referrer, and the client is answered. After a failure in between,
// the same push repairs it.
func (x *exchange) putManifest() error {
	named, tags, err := x.pushTargets()
	if err != nil {
		return err
	}
	if err := x.holdBody(pushWeight, x.MaxManifestBytes); err != nil {
		return err
	}
	content, err := x.readBody(x.MaxManifestBytes, CodeManifestInvalid, "a manifest")
	if err != nil {
		return err
	}
	d := digest.FromBytes(content)
	if named != "" {
		if d = named.Algorithm().FromBytes(content); d != named {
			return &Error{
				Code: CodeDigestInvalid, Message: "the manifest has another digest",
				Detail: map[string]string{"digest": named.String(), "actual": d.String()},
			}
		}
	}
	m, err := parseManifest(content, x.r.Header.Get("Content-Type"))
	if err != nil {
		return err
	}
	if err := x.storeManifest(&pushedManifest{manifest: m, digest: d, content: content, tags: tags}); err != nil {
		return err
	}
	x.acknowledge(d, m)
	return nil
}

// pushedManifest is a manifest to be stored.
type pushedManifest struct {
	*manifest
	digest  digest.Digest
	content []byte
	tags    []string
	// depth is the number of lists above it in this push.
	depth int
}

// storeManifest stores and links a manifest with its parts, and records it in the stream. The
// links must belong to the stream with the record. If the push creates that stream, or another
// client recreates it meanwhile, storeManifest looks up and links all parts once more. Without a
// stream, which a push by digest does not create, the links belong to the namespace.
func (x *exchange) storeManifest(m *pushedManifest) error {
	s, err := x.Directory.Stream(x.context(), x.repo, false)
	if err != nil {
		return err
	}
	to := s.Repository()
	if err := x.store(to, m); err != nil {
		return err
	}
	if s, err = x.record(m); err != nil {
		return err
	}
	if recorded := s.Repository(); recorded.Owner() != to.Owner() {
		to = recorded
		if err := x.store(to, m); err != nil {
			return err
		}
	}
	return x.refer(to, m)
}

// refer lists a manifest as a referrer of its subject.
func (x *exchange) refer(to blobstore.Repository, m *pushedManifest) error {
	if m.subject != nil {
		if err := x.Store.AddReferrer(context.WithoutCancel(x.context()), to.Name, m.subject.Digest, m.describe(m.digest, int64(len(m.content)))); err != nil {
			return fmt.Errorf("recording that %s of %s refers to %s: %w", m.digest, x.repo, m.subject.Digest, err)
		}
	}
	x.closures.add(m.digest, m.content)
	x.manifests.Add(m.digest, newStoredManifest(m.digest, m.mediaType, m.content))
	return nil
}

// acknowledge sends the response to a push.
func (x *exchange) acknowledge(d digest.Digest, m *manifest) {
	header := x.w.Header()
	header.Set("Location", manifestPath(x.repo, d))
	header.Set("Docker-Content-Digest", d.String())
	header.Set("Content-Length", "0")
	for _, tag := range x.tagParameters() {
		header.Add("OCI-Tag", tag)
	}
	if m.subject != nil {
		header.Set("OCI-Subject", m.subject.Digest.String())
	}
	x.w.WriteHeader(http.StatusCreated)
}

func manifestPath(repo reference.Repository, d digest.Digest) string {
	return versionPrefix + repo.String() + "/manifests/" + d.String()
}

// pushTargets returns the digest of the path, "" if it has a tag, and the tags of the path and
// of the tag parameters, sorted.
func (x *exchange) pushTargets() (named digest.Digest, tags []string, err error) {
	if strings.Contains(x.at.reference, ":") {
		if named, err = x.digest(); err != nil {
			return "", nil, err
		}
	} else {
		tags = append(tags, x.at.reference)
	}
	tags = append(tags, x.tagParameters()...)
	for _, tag := range tags {
		if !reference.ValidTag(tag) {
			return "", nil, &Error{
				Code: CodeTagInvalid, Message: "a tag begins with a letter, digit or underscore, followed by up to 127 letters, digits, underscores, dots and dashes",
				Detail: map[string]string{"tag": fmt.Sprintf("%.200s", tag)},
			}
		}
	}
	if len(tags) > maxTags {
		e := NewError(CodeTagInvalid, "a push can have at most %d tags", maxTags)
		e.Status = http.StatusRequestURITooLong
		return "", nil, e
	}
	slices.Sort(tags)
	return named, slices.Compact(tags), nil
}

// tagParameters returns the tags of the query, in order and without duplicates.
func (x *exchange) tagParameters() []string {
	if x.r.URL.RawQuery == "" {
		return nil
	}
	var tags []string
	for _, tag := range x.r.URL.Query()["tag"] {
		if !slices.Contains(tags, tag) {
			tags = append(tags, tag)
		}
	}
	return tags
}

// holdBody reserves the memory for a body of at most limit bytes, each of which counts for weight
// bytes.
func (x *exchange) holdBody(weight, limit int64) error {
	announced := x.r.ContentLength
	if announced < 0 || announced > limit {
		announced = limit
	}
	if announced <= uncounted {
		return nil
	}
	return x.hold(weight * announced)
}

// maxBodyTime is how long receiving a body into memory may take.
const maxBodyTime = 5 * time.Minute

// readBody reads a body into memory. tooLarge is the code of the error if it has more than
// limit bytes.
func (x *exchange) readBody(limit int64, tooLarge Code, what string) ([]byte, error) {
	tooMuch := func() error {
		e := NewError(tooLarge, "%s can have at most %d bytes", what, limit)
		e.Status = http.StatusRequestEntityTooLarge
		return e
	}
	announced := x.r.ContentLength
	if announced > limit {
		return nil, tooMuch()
	}
	content := make([]byte, 0, max(announced, 0)+512)
	began := time.Now()
	for {
		if len(content) == cap(content) {
			content = append(content, 0)[:len(content)]
		}
		n, err := x.body.Read(content[len(content):cap(content)])
		content = content[:len(content)+n]
		switch {
		case int64(len(content)) > limit:
			return nil, tooMuch()
		case errors.Is(err, io.EOF):
			return content, nil
		case err != nil:
			return nil, fmt.Errorf("reading the body: %w", err)
		case time.Since(began) > maxBodyTime:
			return nil, brokenBody(os.ErrDeadlineExceeded)
		}
	}
}

// store stores a manifest and links it, after its parts.
func (x *exchange) store(to blobstore.Repository, m *pushedManifest) error {
	if to.Owner() == "" {
		return x.noNamespace()
	}
	if err := x.linkParts(to, m); err != nil {
		return err
	}
	// From here on the push is completed even if the client disconnects.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(x.context()), recordTimeout)
	defer cancel()
	if err := x.Store.Put(ctx, m.digest, m.content); err != nil {
		return fmt.Errorf("storing manifest %s of %s: %w", m.digest, x.repo, err)
	}
	if err := x.Store.LinkManifest(ctx, to, m.digest); err != nil {
		return fmt.Errorf("linking manifest %s in %s: %w", m.digest, x.repo, err)
	}
	return nil
}

// record creates the Image of a stored manifest, and moves its tags. If the stream that its
// configuration was linked for is deleted meanwhile, the configuration is a missing part.
func (x *exchange) record(m *pushedManifest) (Stream, error) {
	config, err := x.configOf(x.context(), x.repo, m.manifest)
	if isUnknown(err) {
		return nil, part{what: "config", descriptor: *m.config}.unknown()
	}
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(x.context()), recordTimeout)
	defer cancel()
	return x.Directory.Record(ctx, Push{
		Repository: x.repo, User: x.caller.User, Tags: m.tags, Digest: m.digest,
		MediaType: m.mediaType, Manifest: m.content, Config: config,
	})
}

// noNamespace returns the error for a write to a namespace that does not exist.
func (x *exchange) noNamespace() *Error {
	return &Error{
		Code: CodeNameUnknown, Message: fmt.Sprintf("namespace %q does not exist", x.repo.Namespace),
		Detail: map[string]string{"name": x.repo.String()},
	}
}

// configOf returns the content of a manifest's configuration, nil if it has none or one that is
// too large for an Image.
func (x *exchange) configOf(ctx context.Context, repo reference.Repository, m *manifest) ([]byte, error) {
	if m.config == nil || m.config.Size > maxConfigBytes {
		return nil, nil
	}
	if err := x.hold(m.config.Size); err != nil {
		return nil, err
	}
	blob, _, err := x.openBlob(ctx, repo, m.config.Digest)
	if err != nil {
		return nil, err
	}
	src, err := blob.Open(ctx, 0)
	if err != nil {
		return nil, fmt.Errorf("opening configuration %s of %s: %w", m.config.Digest, repo, err)
	}
	defer src.Close()
	content, err := io.ReadAll(io.LimitReader(src, m.config.Size+1))
	if err != nil {
		return nil, fmt.Errorf("reading configuration %s of %s: %w", m.config.Digest, repo, err)
	}
	if m.config.Digest.Algorithm().FromBytes(content) != m.config.Digest {
		return nil, fmt.Errorf("reading configuration %s of %s: the content has another digest", m.config.Digest, repo)
	}
	return content, nil
}
