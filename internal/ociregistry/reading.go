package ociregistry

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	digest "github.com/opencontainers/go-digest"
	"k8s.io/klog/v2"

	"weir.dev/weir/internal/blobstore"
	"weir.dev/weir/internal/reference"
)

// Who may pull from a repository has been asked before anything here runs. What remains
// is whether content belongs to the repository: that a digest is known opens nothing.

// emptyLayers are the digests of no bytes and of an empty tar archive, compressed. Old
// clients take them for granted in every repository. There is nothing in them to hide.
const (
	noBytes    digest.Digest = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
	emptyLayer digest.Digest = "sha256:a3ed95caeb02ffe68cdd9fd84406680ae93d633cb16422d00e8a7c22955b46d4"
)

func isEmptyLayer(d digest.Digest) bool { return d == noBytes || d == emptyLayer }

type heldOnlyKey struct{}

// heldOnly has what is only referred to be unknown, see Options.Instance.
func heldOnly(ctx context.Context) context.Context {
	return context.WithValue(ctx, heldOnlyKey{}, true)
}

func isHeldOnly(ctx context.Context) bool { return ctx.Value(heldOnlyKey{}) != nil }

// standing is how content may be read that belongs to a repository.
type standing struct {
	// open says that what storage has under the digest may be read: it was pushed or
	// mounted here, or the stream leads to it through images of this registry.
	open bool
	// kept says the same for the reason that the content came from one of the sources.
	kept bool
	// origin is what the stream says; nil when it was not asked, or says nothing.
	origin *Origin
}

// stored tells whether storage may be read at all.
func (s standing) stored() bool { return s.open || s.kept }

// blobStanding is how a blob may be read in a repository; CodeBlobUnknown when it does not
// belong there: no image of the stream refers to it, it was neither uploaded nor mounted
// there, and it is no empty layer.
func (h *Handler) blobStanding(ctx context.Context, repo reference.Repository, d digest.Digest) (standing, error) {
	s, err := h.standing(ctx, repo, d, &h.blobs)
	if !isUnknown(err) {
		return s, err
	}
	if isEmptyLayer(d) && !h.goneLayers.has(linkOf(repo, d)) {
		return standing{open: true}, nil
	}
	// That there is no stream yet is no news to somebody who pushes its first blob.
	return standing{}, blobUnknown(d)
}

// manifestStanding is how a manifest may be read in a repository; CodeManifestUnknown when
// it is neither an image of the stream nor the child of one, and was not pushed there.
func (h *Handler) manifestStanding(ctx context.Context, repo reference.Repository, d digest.Digest) (standing, error) {
	return h.standing(ctx, repo, d, &h.revisions)
}

// bond is a way in which content belongs to repositories.
type bond struct {
	// known is what streams say, linked what links of the repository say.
	known  func(context.Context, reference.Repository, digest.Digest) (Origin, error)
	linked func(context.Context, string, digest.Digest) (bool, error)
	// what it is, and the code for what does not belong, or is nowhere to be had.
	what    string
	unknown Code
	// throughOthers tells whether one of the lists that name a manifest came into the
	// stream otherwise than by a push to the repository; nil where that does not matter.
	// A list that was pushed here came with its manifests, or without: they have links of
	// their own, which can be deleted while the list stays.
	throughOthers func(ctx context.Context, repository string, lists []digest.Digest) (bool, error)
	hints         linkHints
}

// standing asks the stream, and the links of the repository. Both answer from memory for
// what they know, and ask a server or a disk for what they do not; hints tell which knows.
func (h *Handler) standing(ctx context.Context, repo reference.Repository, d digest.Digest, by *bond) (standing, error) {
	l := linkOf(repo, d)
	var linked bool
	var linkErr error
	hinted := by.hints.has(l)
	if hinted {
		if linked, linkErr = by.linked(ctx, l.repository, d); linked {
			return standing{open: true}, nil
		}
	}
	s, err := h.standingInStream(ctx, repo, d, by)
	if s.stored() {
		return s, nil
	}
	if !hinted {
		linked, linkErr = by.linked(ctx, l.repository, d)
	}
	switch {
	case linkErr != nil:
		return standing{}, fmt.Errorf("looking for %s in %s: %w", d, repo, linkErr)
	case linked:
		by.hints.saw(l)
		return standing{open: true, origin: s.origin}, nil
	}
	return s, err
}

// standingInStream is what the stream makes of content.
func (h *Handler) standingInStream(ctx context.Context, repo reference.Repository, d digest.Digest, by *bond) (standing, error) {
	origin, err := by.known(ctx, repo, d)
	if err != nil {
		return standing{}, err
	}
	s := standing{origin: &origin, open: origin.Held}
	if s.open && len(origin.Parents) > 0 && by.throughOthers != nil {
		if s.open, err = by.throughOthers(ctx, repo.Key(), origin.Parents); err != nil {
			return standing{}, err
		}
	}
	for _, l := range origin.Through {
		if s.open {
			break
		}
		if s.open, err = h.Store.HasManifest(ctx, l.Repository, l.Manifest); err != nil {
			return standing{}, fmt.Errorf("looking for manifest %s in %s: %w", l.Manifest, l.Repository, err)
		}
	}
	if !s.open && isHeldOnly(ctx) {
		return standing{}, digestUnknown(by.unknown, by.what, d)
	}
	if !s.open && len(origin.Sources) > 0 {
		if s.kept, err = h.cameFrom(ctx, repo, d, origin.Sources); err != nil {
			return standing{}, fmt.Errorf("looking where %s of %s came from: %w", d, repo, err)
		}
	}
	if !s.stored() && !h.fetches(&origin) {
		return standing{}, digestUnknown(by.unknown, by.what, d)
	}
	return s, nil
}

// cameFrom tells whether content was fetched from one of some sources, as a namespace is
// shown it there.
func (h *Handler) cameFrom(ctx context.Context, repo reference.Repository, d digest.Digest, sources []Source) (bool, error) {
	if came, err := h.Store.CameFrom(ctx, d, Provenances("", sources)...); came || err != nil {
		return came, err
	}
	scope, err := h.Store.Scope(ctx, repo.Namespace)
	if err != nil || scope == "" {
		return false, err
	}
	return h.Store.CameFrom(ctx, d, Provenances(scope, sources)...)
}

// fetches tells whether content can be had from elsewhere.
func (h *Handler) fetches(o *Origin) bool { return h.Upstream != nil && o != nil && o.fetchable() }

// origin tells where content may be fetched from that belongs to a repository and is not
// in the store. The error is by.unknown when it is nowhere to be had.
func (h *Handler) origin(ctx context.Context, repo reference.Repository, d digest.Digest, s standing, by *bond) (Origin, error) {
	if s.origin == nil {
		o, err := by.known(ctx, repo, d)
		if err != nil && !isUnknown(err) {
			return Origin{}, err
		}
		s.origin = &o
	}
	if !h.fetches(s.origin) {
		return Origin{}, digestUnknown(by.unknown, by.what, d)
	}
	return *s.origin, nil
}

// wanted describes content of a repository for Upstream. origin.Manifest is the digest
// itself for a manifest, as Directory.Manifest has it.
func (h *Handler) wanted(ctx context.Context, repo reference.Repository, d digest.Digest, origin Origin) Wanted {
	scope, err := h.Store.MakeScope(ctx, repo.Namespace)
	if err != nil {
		klog.ErrorS(err, "Content that a pull secret opens is not kept", "namespace", repo.Namespace)
	}
	return Wanted{
		Digest: d, Manifest: origin.Manifest == d, Size: origin.Size,
		Namespace: repo.Namespace, Scope: scope, Sources: origin.Sources,
	}
}

// manifestAsBlob fetches a manifest that is asked for by the route of blobs: other
// registries need not serve it there. CodeBlobUnknown when it is nowhere to be had.
func (h *Handler) manifestAsBlob(ctx context.Context, repo reference.Repository, d digest.Digest, origin Origin) (Blob, error) {
	content, _, err := h.Upstream.Manifest(ctx, h.wanted(ctx, repo, d, origin))
	if e := (*Error)(nil); errors.As(err, &e) && e.Code == CodeManifestUnknown {
		unknown := *e
		unknown.Code = CodeBlobUnknown
		return Blob{}, &unknown
	}
	return Blob{Size: int64(len(content)), Open: func(_ context.Context, offset int64) (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(content[offset:])), nil
	}}, err
}

// storedBlob is a blob of the store. The error is blobstore.ErrUnknown where it is not there.
func (h *Handler) storedBlob(ctx context.Context, d digest.Digest) (Blob, error) {
	size, err := h.Store.Stat(ctx, d)
	if err != nil {
		return Blob{}, err
	}
	return Blob{Size: size, Open: func(ctx context.Context, offset int64) (io.ReadCloser, error) {
		return h.Store.Open(ctx, d, offset)
	}}, nil
}

// openBlob finds a blob that may be read in a repository. stored tells whether it is in
// the store, or only where the stream refers to.
func (h *Handler) openBlob(ctx context.Context, repo reference.Repository, d digest.Digest) (b Blob, stored bool, err error) {
	s, err := h.blobStanding(ctx, repo, d)
	if err != nil {
		return Blob{}, false, err
	}
	if s.stored() {
		b, err = h.storedBlob(ctx, d)
		if err == nil {
			return b, true, nil
		}
		if !errors.Is(err, blobstore.ErrUnknown) {
			return Blob{}, false, fmt.Errorf("reading blob %s of %s: %w", d, repo, err)
		}
	}
	origin, err := h.origin(ctx, repo, d, s, &h.blobs)
	if err != nil {
		return Blob{}, false, err
	}
	if origin.Manifest == d {
		b, err = h.manifestAsBlob(ctx, repo, d, origin)
		return b, false, err
	}
	b, err = h.Upstream.Blob(ctx, h.wanted(ctx, repo, d, origin))
	return b, false, err
}

// sizeOfBlob is the size of a blob that may be read in a repository; nothing is fetched.
func (h *Handler) sizeOfBlob(ctx context.Context, repo reference.Repository, d digest.Digest) (int64, error) {
	s, err := h.blobStanding(ctx, repo, d)
	if err != nil {
		return 0, err
	}
	if s.stored() {
		size, err := h.Store.Stat(ctx, d)
		if err == nil {
			return size, nil
		}
		if !errors.Is(err, blobstore.ErrUnknown) {
			return 0, fmt.Errorf("looking for blob %s of %s: %w", d, repo, err)
		}
	}
	origin, err := h.origin(ctx, repo, d, s, &h.blobs)
	if err != nil {
		return 0, err
	}
	if origin.Manifest == d {
		b, err := h.manifestAsBlob(ctx, repo, d, origin)
		return b.Size, err
	}
	return h.Upstream.Stat(ctx, h.wanted(ctx, repo, d, origin))
}

// manifestByTag is the manifest that a tag leads to.
func (h *Handler) manifestByTag(ctx context.Context, repo reference.Repository, tag string) (*storedManifest, error) {
	if !reference.ValidTag(tag) {
		// No tag can be called that, so it is not there. It is what probing clients expect.
		return nil, &Error{
			Code: CodeManifestUnknown, Message: "no tag has such a name",
			Detail: map[string]string{"tag": tag},
		}
	}
	d, err := h.Directory.Resolve(ctx, repo, tag)
	if err != nil {
		return nil, err
	}
	return h.manifestByDigest(ctx, repo, d)
}

// manifestByDigest is a manifest that belongs to a repository.
func (h *Handler) manifestByDigest(ctx context.Context, repo reference.Repository, d digest.Digest) (*storedManifest, error) {
	s, err := h.manifestStanding(ctx, repo, d)
	if err != nil {
		return nil, err
	}
	if s.stored() || h.passed.has(linkOf(repo, d)) {
		if m := h.manifests.get(d); m != nil {
			manifestReads.WithLabelValues("memory").Inc()
			return m, nil
		}
	}
	return h.loadManifest(ctx, repo, d, s)
}

// loadManifest reads a manifest from the store or from where the stream refers to, and
// keeps it in memory.
func (h *Handler) loadManifest(ctx context.Context, repo reference.Repository, d digest.Digest, s standing) (*storedManifest, error) {
	mediaType, from := "", "storage"
	content, err := h.readManifest(ctx, d, s)
	if errors.Is(err, blobstore.ErrUnknown) {
		from = "upstream"
		origin, err := h.origin(ctx, repo, d, s, &h.revisions)
		if err != nil {
			return nil, err
		}
		if content, mediaType, err = h.Upstream.Manifest(ctx, h.wanted(ctx, repo, d, origin)); err != nil {
			return nil, err
		}
		h.passed.saw(linkOf(repo, d))
	} else if err != nil {
		// Not wrapped: that content is not what its digest says is nothing a client did.
		return nil, fmt.Errorf("reading manifest %s of %s: %v", d, repo, err)
	}
	manifestReads.WithLabelValues(from).Inc()
	m := newStoredManifest(d, typeOfStored(content, mediaType), content)
	// What only another registry says of a manifest is not told where others have it.
	if m.mediaType == typeOfStored(content, "") {
		h.manifests.put(m)
	}
	return m, nil
}

// readManifest reads a manifest from the store as far as it may be read there;
// blobstore.ErrUnknown otherwise.
func (h *Handler) readManifest(ctx context.Context, d digest.Digest, s standing) ([]byte, error) {
	most := max(h.MaxManifestBytes, maxStoredManifestBytes)
	switch {
	case s.kept:
		content, err := h.Store.Read(ctx, d, most)
		if errors.Is(err, blobstore.ErrUnknown) {
			// Where earlier versions put manifests that passed through.
			return h.Store.ReadFetched(ctx, d, most)
		}
		return content, err
	case s.open:
		return h.Store.Read(ctx, d, most)
	}
	return nil, blobstore.ErrUnknown
}

// maxStoredManifestBytes bounds what is read into memory as a manifest. It is well above
// what is accepted, so that lowering that hides nothing.
const maxStoredManifestBytes = 32 << 20
