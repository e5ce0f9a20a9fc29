package ociregistry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	digest "github.com/opencontainers/go-digest"

	"weir.dev/weir/internal/blobstore"
	"weir.dev/weir/internal/reference"
)

// Content is an image whose content must be in storage: it was pushed to a repository or copied
// from another one of this registry, so no other registry has it.
type Content struct {
	Repository reference.Repository
	Image      digest.Digest
	// Tags are the tags of the stream with the image in their history.
	Tags []string
	// Version is that of the stream, see Stream.
	Version uint64
}

// Missing describes an image with content that is not in storage.
type Missing struct {
	Content
	// Link is true if the repository has no link to the manifest: clients get 404.
	Link bool
	// Parts are the manifests, configurations and layers without data, at most maxMissingParts.
	Parts []digest.Digest
}

// maxMissingParts bounds the parts that are listed for one image.
const maxMissingParts = 100

// FindMissing compares the images of all streams with storage. It calls pace before each image,
// and report for each image with missing content. It returns the number of images compared. It
// skips an image whose lookup fails, and returns the last such error.
func (h *Handler) FindMissing(ctx context.Context, pace func(context.Context) error, report func(Missing) error) (images int, err error) {
	var failure error
	for c := range h.Directory.Contents() {
		if err := pace(ctx); err != nil {
			return images, err
		}
		images++
		found, err := h.missing(ctx, c)
		if err != nil {
			failure = fmt.Errorf("looking for image %s of %s in storage: %w", c.Image, c.Repository, err)
			continue
		}
		if found.Link || len(found.Parts) > 0 {
			if err := report(found); err != nil {
				return images, err
			}
		}
	}
	return images, failure
}

// missing compares one image with storage. An image that its stream no longer has is not
// missing, nor is one that can be fetched from another registry.
func (h *Handler) missing(ctx context.Context, c Content) (Missing, error) {
	found := Missing{Content: c}
	s, err := h.Directory.Stream(ctx, c.Repository, false)
	if err != nil {
		return found, err
	}
	g, err := h.decide(ctx, s, c.Image, manifests)
	if err != nil || g.fetchable() {
		return found, err
	}
	if !g.stored {
		found.Link = s.Version() == c.Version // otherwise the image may have been deleted since
		return found, nil
	}
	seen := map[digest.Digest]bool{}
	var look func(m digest.Digest, depth int) error
	look = func(m digest.Digest, depth int) error {
		if seen[m] || depth > maxDepth || len(seen) > maxVisited {
			return nil
		}
		seen[m] = true
		if has, err := h.hasData(ctx, m); err != nil || !has {
			found.add(m, err)
			return err
		}
		parts, err := h.closures.parts(ctx, m)
		if err != nil || parts == nil {
			return err
		}
		for _, b := range parts.Blobs {
			if err := h.missingBlob(ctx, s, b.Digest, &found); err != nil {
				return err
			}
		}
		for _, child := range parts.Children {
			// A sparse index names manifests that the repository never had.
			g, err := h.decide(ctx, s, child.Digest, manifests)
			if err != nil {
				return err
			}
			if !g.stored || g.fetchable() {
				continue
			}
			if err := look(child.Digest, depth+1); err != nil {
				return err
			}
		}
		return nil
	}
	return found, look(c.Image, 0)
}

// missingBlob looks up a blob. A blob without a link, such as a non-distributable layer, was
// never uploaded.
func (h *Handler) missingBlob(ctx context.Context, s Stream, d digest.Digest, found *Missing) error {
	g, err := h.decide(ctx, s, d, blobs)
	if err != nil || !g.stored || g.fetchable() {
		return err
	}
	has, err := h.hasData(ctx, d)
	if !has {
		found.add(d, err)
	}
	return err
}

func (f *Missing) add(d digest.Digest, err error) {
	if err == nil && len(f.Parts) < maxMissingParts {
		f.Parts = append(f.Parts, d)
	}
}

// hasData reports whether storage has the data of a digest.
func (h *Handler) hasData(ctx context.Context, d digest.Digest) (bool, error) {
	_, err := h.Store.Stat(ctx, d)
	if errors.Is(err, blobstore.ErrUnknown) {
		return false, nil
	}
	return err == nil, err
}

// missingLine is a line of the response to GET /admin/missing, in JSON.
type missingLine struct {
	Repository string          `json:"repository"`
	Tags       []string        `json:"tags"`
	Image      digest.Digest   `json:"image"`
	Link       bool            `json:"linkMissing,omitempty"`
	Parts      []digest.Digest `json:"dataMissing,omitempty"`
}

// missingSummary is the last line. A response without it is incomplete.
type missingSummary struct {
	Images  int    `json:"images"`
	Missing int    `json:"missing"`
	Error   string `json:"error,omitempty"`
}

// listMissing serves GET /admin/missing: it compares the image streams with storage and sends
// a line of JSON for each image with missing content, then a summary.
func (x *exchange) listMissing() error {
	x.w.Header().Set("Content-Type", "application/x-ndjson")
	lines := json.NewEncoder(&x.w)
	var sum missingSummary
	var err error
	sum.Images, err = x.FindMissing(x.context(), func(context.Context) error { return nil }, func(m Missing) error {
		sum.Missing++
		x.w.allowTime(x.ClientTimeout)
		return lines.Encode(missingLine{m.Repository.String(), m.Tags, m.Image, m.Link, m.Parts})
	})
	if err != nil {
		x.logFailure(err)
		sum.Error = "the comparison is incomplete; see the server's log for request " + x.requestName()
	}
	x.w.allowTime(x.ClientTimeout)
	return lines.Encode(sum)
}
