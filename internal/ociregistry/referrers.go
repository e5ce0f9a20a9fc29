package ociregistry

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"

	digest "github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"weir.dev/weir/internal/blobstore"
)

const (
	// maxReferrersBytes is the size at which a page of referrers ends. The specification requires
	// paging for lists larger than the manifests that clients accept, which is 4 MiB.
	maxReferrersBytes = 4 << 20
	// maxReferrers is how many candidates are read for a page: many may have another artifactType
	// or no link.
	maxReferrers = 1000
)

// listReferrers serves the list of manifests whose subject is a digest, in pages. Without
// referrers the list is empty: on 404 clients would conclude that the registry has no referrers
// API, and maintain the list under a tag.
func (x *exchange) listReferrers() error {
	subject, err := x.digest()
	if err != nil {
		return err
	}
	query := x.r.URL.Query()
	p, err := parsePage(query, maxReferrers)
	if err != nil {
		return err
	}
	p.n = min(p.n, maxReferrers)
	of := referrers{x: x, subject: subject, artifactType: query.Get("artifactType")}
	if err := of.find(x.context()); err != nil {
		return err
	}
	list, err := of.page(x.context(), p)
	if err != nil {
		return err
	}
	header := x.w.Header()
	if of.artifactType != "" {
		header.Set("OCI-Filters-Applied", "artifactType")
	}
	if list.last != "" {
		next := url.Values{"n": {strconv.Itoa(p.n)}, "last": {list.last.String()}}
		if of.artifactType != "" {
			next.Set("artifactType", of.artifactType)
		}
		linkNext(header, versionPrefix+x.repo.String()+"/referrers/"+subject.String(), next)
	}
	header["Cache-Control"] = cacheRevision
	return x.sendReferrers(list.entries)
}

// referrers lists the manifests that refer to a subject.
type referrers struct {
	x            *exchange
	subject      digest.Digest
	artifactType string // "" for all
	// candidates are the digests listed in storage and in the specification's fallback tag,
	// sorted.
	candidates []digest.Digest
	// tagged are the candidates of the fallback tag.
	tagged map[digest.Digest]struct{}
}

// find sets the candidates.
func (of *referrers) find(ctx context.Context) (err error) {
	x := of.x
	if of.candidates, err = x.Store.Referrers(ctx, x.repo.Key(), of.subject); err != nil {
		return fmt.Errorf("listing what refers to %s in %s: %w", of.subject, x.repo, err)
	}
	if of.tagged, err = x.taggedReferrers(ctx, of.subject); err != nil {
		return err
	}
	for d := range of.tagged {
		of.candidates = append(of.candidates, d)
	}
	slices.Sort(of.candidates)
	of.candidates = slices.Compact(of.candidates)
	return nil
}

// referrersPage is a part of the list: descriptors as JSON, and the digest after which the next
// page begins, "" if this is the last.
type referrersPage struct {
	entries [][]byte
	last    digest.Digest
}

// page reads a page. The page ends early if memory for more is not available.
func (of *referrers) page(ctx context.Context, p page) (list referrersPage, err error) {
	rest := of.candidates
	if i, found := slices.BinarySearch(rest, digest.Digest(p.last)); found {
		rest = rest[i+1:]
	} else {
		rest = rest[i:]
	}
	size := 0
	for i, d := range rest {
		if err := ctx.Err(); err != nil {
			return list, errors.Join(err, context.Cause(ctx))
		}
		if len(list.entries) >= p.n || i >= maxReferrers {
			return list.before(rest, i), nil
		}
		entry, err := of.entry(ctx, d)
		if err == nil {
			err = of.x.holdAll(int64(size + len(entry)))
		}
		noRoom := size+len(entry) > maxReferrersBytes || hasCode(err, CodeTooManyRequests)
		switch {
		case noRoom && len(list.entries) > 0:
			return list.before(rest, i), nil
		case err != nil:
			return list, err
		case entry != nil:
			list.entries = append(list.entries, entry)
			size += len(entry)
		}
	}
	return list, nil
}

// before returns the page that ends before digests[i].
func (p referrersPage) before(digests []digest.Digest, i int) referrersPage {
	if i > 0 {
		p.last = digests[i-1]
	}
	return p
}

// entry returns the descriptor of a referrer, nil if it cannot be read in the repository or is not
// of the wanted type.
func (of *referrers) entry(ctx context.Context, d digest.Digest) ([]byte, error) {
	x := of.x
	_, err := x.mayRead(ctx, x.repo, d, manifests)
	if isUnknown(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer x.holdOnly(x.held)
	listed, err := x.listedReferrer(ctx, of.subject, d)
	if _, tagged := of.tagged[d]; tagged && errors.Is(err, blobstore.ErrUnknown) {
		listed, err = x.taggedReferrer(ctx, of.subject, d)
	}
	if errors.Is(err, blobstore.ErrUnknown) || isUnknown(err) || err == nil && of.artifactType != "" && of.artifactType != listed.ArtifactType {
		return nil, nil
	}
	return listed.Descriptor, err
}

// listedReferrer reads an entry in storage. A large one first reserves memory.
func (x *exchange) listedReferrer(ctx context.Context, subject, d digest.Digest) (blobstore.ListedReferrer, error) {
	listed, err := x.Store.Referrer(ctx, x.repo.Key(), subject, d, uncounted)
	if large := (*blobstore.SizeMismatch)(nil); errors.As(err, &large) {
		if err := x.hold(blobstore.MaxReferrerBytes); err != nil {
			return listed, err
		}
		listed, err = x.Store.Referrer(ctx, x.repo.Key(), subject, d, blobstore.MaxReferrerBytes)
	}
	if err != nil && !errors.Is(err, blobstore.ErrUnknown) {
		err = fmt.Errorf("reading that %s refers to %s in %s: %w", d, subject, x.repo, err)
	}
	return listed, err
}

// referrersTag returns the tag under which clients maintain a list of referrers in registries
// without the referrers API: the algorithm and at most 64 characters of the digest.
func referrersTag(subject digest.Digest) string {
	encoded := subject.Encoded()
	return subject.Algorithm().String() + "-" + encoded[:min(len(encoded), 64)]
}

// taggedReferrers returns the manifests of such a list, which may have been pushed elsewhere and
// copied or imported here. The list provides only candidates: the subject is read from each
// manifest.
func (x *exchange) taggedReferrers(ctx context.Context, subject digest.Digest) (map[digest.Digest]struct{}, error) {
	defer x.holdOnly(x.held)
	list, err := x.manifestByTag(ctx, x.repo, referrersTag(subject))
	if isUnknown(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	index, err := parseManifest(list.content, list.mediaType)
	if err != nil || !index.isList() {
		return nil, nil // a tag that only looks like one
	}
	tagged := map[digest.Digest]struct{}{}
	for _, child := range index.children {
		tagged[child.Digest] = struct{}{}
	}
	return tagged, nil
}

// taggedReferrer describes a manifest of such a list. The error is ErrUnknown, or one of isUnknown,
// if there is no such manifest or if its subject is another one.
func (x *exchange) taggedReferrer(ctx context.Context, subject, d digest.Digest) (listed blobstore.ListedReferrer, err error) {
	stored, err := x.manifestByDigest(ctx, x.repo, d)
	if err != nil {
		return listed, err
	}
	m, err := parseManifest(stored.content, stored.mediaType)
	if err != nil || m.subject == nil || m.subject.Digest != subject {
		return listed, blobstore.ErrUnknown
	}
	listed.ArtifactType = m.artifactType
	listed.Descriptor, err = json.Marshal(m.describe(stored.digest, int64(len(stored.content))))
	return listed, err
}

// sendReferrers sends an index of the descriptors, one after the other, so that the list is not
// in memory a second time.
func (x *exchange) sendReferrers(descriptors [][]byte) error {
	const head = `{"schemaVersion":2,"mediaType":"` + ocispec.MediaTypeImageIndex + `","manifests":[`
	pieces := []io.Reader{bytes.NewReader([]byte(head))}
	length := len(head)
	add := func(piece []byte) {
		pieces = append(pieces, bytes.NewReader(piece))
		length += len(piece)
	}
	for i, d := range descriptors {
		if i > 0 {
			add([]byte{','})
		}
		add(d)
	}
	add([]byte("]}"))
	header := x.w.Header()
	header.Set("Content-Type", ocispec.MediaTypeImageIndex)
	header.Set("Content-Length", strconv.Itoa(length))
	x.w.WriteHeader(http.StatusOK)
	if x.isHead() {
		return nil
	}
	return x.w.send(io.MultiReader(pieces...), int64(length))
}
