package ociregistry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	digest "github.com/opencontainers/go-digest"

	"weir.dev/weir/internal/reference"
)

// maxTags is how many tags one push may move. The specification asks for ten at least;
// each is a write to the API.
const maxTags = 100

// recordTimeout bounds what is done for a push, or a deletion, once it has begun.
const recordTimeout = 5 * time.Minute

// putManifest serves PUT of a manifest: by tag, by digest, and by digest with tags.
//
// The order is what makes an acknowledged push whole and a failed one harmless. All that
// the manifest refers to is there before it is stored, it is stored before the stream
// knows of it, and the stream knows of it before it is listed as a referrer or the client
// is told. Whatever breaks in between, the same push again mends.
func (x *exchange) putManifest() error {
	named, tags, err := x.pushTargets()
	if err != nil {
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
	if err := x.take(&incoming{manifest: m, digest: d, content: content, tags: tags}); err != nil {
		return err
	}
	x.acknowledge(d, m)
	return nil
}

// take stores a manifest once it is known what of it is there.
func (x *exchange) take(m *incoming) error {
	away, err := x.checkParts(m.manifest)
	if err != nil {
		return err
	}
	missing, err := x.missingParts(m, away)
	if err != nil {
		return err
	}
	return x.recordManifest(m, missing)
}

// acknowledge tells the client that the push is done.
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

// pushTargets reads what a push is to be known as: a digest, "" when the path has a tag,
// and tags, of the path and of the tag parameters.
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
				Code: CodeTagInvalid, Message: "a tag is a letter, digit or underscore and up to 127 of these, dots and dashes",
				Detail: map[string]string{"tag": fmt.Sprintf("%.200s", tag)},
			}
		}
	}
	if len(tags) > maxTags {
		e := NewError(CodeTagInvalid, "one push can have %d tags at most", maxTags)
		e.Status = http.StatusRequestURITooLong
		return "", nil, e
	}
	slices.Sort(tags)
	return named, slices.Compact(tags), nil
}

// tagParameters are the tags of the query, each once, as they stand there.
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

// readBody reads a body that is kept in memory. tooLarge is the code of the error when it
// has more than limit bytes.
func (x *exchange) readBody(limit int64, tooLarge Code, what string) ([]byte, error) {
	tooMuch := func() error {
		e := NewError(tooLarge, "%s can have %d bytes at most", what, limit)
		e.Status = http.StatusRequestEntityTooLarge
		return e
	}
	announced := x.r.ContentLength
	if announced > limit {
		return nil, tooMuch()
	}
	content := make([]byte, 0, max(announced, 0)+512)
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
		}
	}
}

// recordManifest stores a manifest and makes it known.
func (x *exchange) recordManifest(m *incoming, missing []digest.Digest) error {
	d := m.digest
	config, err := x.configOf(x.context(), m.manifest)
	if err != nil {
		return err
	}
	// From here on the client is not needed: what begins is brought to its end.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(x.context()), recordTimeout)
	defer cancel()
	key := x.repo.Key()
	if err := x.Store.AddMissing(ctx, d, missing); err != nil {
		return fmt.Errorf("recording what manifest %s of %s lacks: %w", d, x.repo, err)
	}
	// What others lacked who pushed the same counts as well.
	if missing, err = x.Store.Missing(ctx, d); err != nil {
		return fmt.Errorf("reading what manifest %s lacks: %w", d, err)
	}
	if err := x.Store.Put(ctx, d, m.content); err != nil {
		return fmt.Errorf("storing manifest %s of %s: %w", d, x.repo, err)
	}
	if err := x.Store.MarkPushed(ctx, d); err != nil {
		return fmt.Errorf("recording that manifest %s of %s was pushed: %w", d, x.repo, err)
	}
	if err := x.Store.LinkManifest(ctx, key, d); err != nil {
		return fmt.Errorf("linking manifest %s in %s: %w", d, x.repo, err)
	}
	err = x.Directory.Record(ctx, Push{
		Repository: x.repo, User: x.caller.User, Tags: m.tags, Digest: d,
		MediaType: m.mediaType, Manifest: m.content, Config: config, Missing: missing,
	})
	if err != nil {
		return err
	}
	if m.subject != nil {
		if err := x.Store.AddReferrer(ctx, key, m.subject.Digest, m.describe(d, int64(len(m.content)))); err != nil {
			return fmt.Errorf("noting that %s of %s refers to %s: %w", d, x.repo, m.subject.Digest, err)
		}
	}
	x.revisions.hints.saw(linkOf(x.repo, d))
	x.manifests.put(newStoredManifest(d, m.mediaType, m.content))
	return nil
}

// configOf is the content of a manifest's configuration, nil when it has none or when it
// is too large to be shown as part of an image.
func (x *exchange) configOf(ctx context.Context, m *manifest) ([]byte, error) {
	if m.config == nil || m.config.Size > maxConfigBytes {
		return nil, nil
	}
	blob, _, err := x.openBlob(ctx, x.repo, m.config.Digest)
	if err != nil {
		return nil, err
	}
	src, err := blob.Open(ctx, 0)
	if err != nil {
		return nil, fmt.Errorf("opening configuration %s of %s: %w", m.config.Digest, x.repo, err)
	}
	defer src.Close()
	content, err := io.ReadAll(io.LimitReader(src, m.config.Size+1))
	if err != nil {
		return nil, fmt.Errorf("reading configuration %s of %s: %w", m.config.Digest, x.repo, err)
	}
	if m.config.Digest.Algorithm().FromBytes(content) != m.config.Digest {
		return nil, fmt.Errorf("reading configuration %s of %s: the content has another digest", m.config.Digest, x.repo)
	}
	return content, nil
}
