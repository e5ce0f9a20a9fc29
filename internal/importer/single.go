package importer

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"

	digest "github.com/opencontainers/go-digest"
	imagev1 "github.com/openshift/api/image/v1"
	"k8s.io/klog/v2"

	"weir.dev/weir/internal/reference"
	"weir.dev/weir/internal/upstream"
)

// importImages imports single images: hosts in parallel, so that one that hangs does not delay
// others. Content that images share is fetched once, see repository.
func (s *session) importImages(ctx context.Context, requests []ImageRequest) []ImageResult {
	results := make([]ImageResult, len(requests))
	var wait sync.WaitGroup
	for _, group := range byHost(requests) {
		wait.Go(func() {
			_ = forEach(ctx, len(group), s.options.Concurrency, "", func(i int) error {
				results[group[i]] = s.importOne(ctx, requests[group[i]])
				return nil
			})
		})
	}
	wait.Wait()
	return results
}

// byHost groups the indexes of requests by registry host.
func byHost(requests []ImageRequest) map[string][]int {
	hosts := map[string][]int{}
	for i, req := range requests {
		spec, _ := reference.Parse(req.Ref) // invalid ones may be in any group
		host := spec.ContactHost()
		hosts[host] = append(hosts[host], i)
	}
	return hosts
}

// deepCopy returns a copy that shares nothing with r.
func (r ImageResult) deepCopy() ImageResult {
	r.Status = *r.Status.DeepCopy()
	r.Image = r.Image.DeepCopy()
	manifests := r.Manifests
	r.Manifests = nil
	for i := range manifests {
		r.Manifests = append(r.Manifests, *manifests[i].DeepCopy())
	}
	return r
}

// importOne imports one image. It returns every failure as a status.
func (s *session) importOne(ctx context.Context, req ImageRequest) ImageResult {
	spec, err := pullSpec(req.Ref)
	ref := req.Ref
	if err == nil {
		ref = spec.String()
	}
	var result ImageResult
	skipped := &skipped{}
	if err == nil {
		err = guard(ctx, ref, func() (err error) {
			result, err = s.importSpec(upstream.WithSkipped(ctx, skipped.add), spec, req)
			return err
		})
	}
	if err == nil {
		result.Status, result.Tag, result.Skipped = success(), spec.Tag, skipped.all()
		return result
	}
	logFailure(ctx, ref, err)
	return failedImage(outcomeOf(ctx, ref, err), spec.Tag)
}

// logFailure logs the details that a status omits.
func logFailure(ctx context.Context, ref string, err error) {
	if up := (*upstream.Error)(nil); errors.As(err, &up) {
		err = up.InFull()
	}
	klog.FromContext(ctx).V(2).Info("Importing an image failed", "image", ref, "err", err)
}

func failedImage(o outcome, tag string) ImageResult {
	if o.status.Reason == reasonBlocked {
		tag = "" // clients are not told one when nothing was contacted
	}
	return ImageResult{
		Status:     o.status,
		Tag:        tag,
		Source:     o.source,
		Retry:      o.retry,
		Retryable:  o.retry != RetryNever,
		RetryAfter: o.retryAfter,
	}
}

// pullSpec parses the reference of a request: a digest, else a tag, else the tag latest. An invalid
// pull spec counts as a tag import.
func pullSpec(ref string) (reference.PullSpec, error) {
	spec, err := reference.Parse(ref)
	if err != nil {
		return reference.PullSpec{Tag: reference.DefaultTag}, errNoReference
	}
	spec = spec.MostSpecific()
	if spec.Tag == "" && spec.ID == "" {
		spec.Tag = reference.DefaultTag
	}
	if spec.Name == "" {
		return spec, errNoReference
	}
	return spec, nil
}

// tagImport is the import of one tag or digest. All of its manifests and configs count against its
// bounds.
type tagImport struct {
	*session
	repository *repository
	spec       reference.PullSpec // as written, with the tag that is fetched
	platform   Platform
	first      digest.Digest // of the manifest that spec names, once read

	manifests, bytes atomic.Int64
}

func (s *session) importSpec(ctx context.Context, spec reference.PullSpec, req ImageRequest) (ImageResult, error) {
	repo, err := s.open(spec, req.Insecure)
	if err != nil {
		return ImageResult{}, err
	}
	t := &tagImport{session: s, repository: repo, spec: spec, platform: s.options.DefaultPlatform}
	if spec.ID == "" {
		t.platform = Platform{Architecture: req.PreferArch, OS: req.PreferOS}.orElse(s.options.DefaultPlatform)
	}
	if req.Known != nil && !req.IncludeManifest {
		source, same, err := t.unchanged(ctx, *req.Known, req.Mode)
		if err != nil || same {
			return ImageResult{Source: source, Unchanged: same}, err
		}
	}
	top, err := t.top(ctx)
	if err != nil {
		return ImageResult{}, err
	}
	result := ImageResult{Source: top.source}
	result.Image, result.Manifests, err = t.read(ctx, top, req.Mode)
	if err != nil {
		return ImageResult{}, err
	}
	if !req.IncludeManifest {
		stripText(result.Image)
	}
	return result, nil
}

// stripText removes manifest and config text.
func stripText(image *imagev1.Image) {
	image.DockerImageManifest, image.DockerImageConfig = "", ""
}

// unchanged reports whether upstream still has the known image. It costs a HEAD where that is
// served.
func (t *tagImport) unchanged(ctx context.Context, known KnownImage, mode imagev1.ImportModeType) (source string, same bool, err error) {
	if known.Image == "" || known.DockerImageReference != t.refTo(known.Image) {
		return "", false, nil
	}
	head, err := t.repository.head(ctx, t.version())
	if err != nil {
		return "", false, err // a GET has failed
	}
	image, ok := t.imageBehind(head.Digest, head.MediaType, mode)
	return head.Source, ok && image.String() == known.Image, nil
}

// imageBehind returns the image that an import selects from a manifest that it has not read, if
// that is cached.
func (t *tagImport) imageBehind(d digest.Digest, mediaType string, mode imagev1.ImportModeType) (digest.Digest, bool) {
	if d == "" {
		return "", false
	}
	if preserves(mode) || isSingle(normalizeType(mediaType)) {
		return d, true
	}
	return t.remembered.choices.Get(t.choice(d))
}

func (t *tagImport) choice(d digest.Digest) choiceKey {
	return choiceKey{content: t.repository.content(d), platform: t.platform}
}

// version returns the tag or digest to fetch.
func (t *tagImport) version() string {
	if t.spec.ID != "" {
		return t.spec.ID
	}
	return t.spec.Tag
}

// refTo returns the pull spec of an image of the repository, in the spelling of the request.
func (t *tagImport) refTo(image string) string { return t.spec.WithID(image).String() }

// name returns the name of a manifest in messages: the request's reference for the requested one,
// repository@digest for those below.
func (t *tagImport) name(d digest.Digest) string {
	if d == t.first {
		return t.spec.String()
	}
	return t.refTo(d.String())
}

// top fetches the manifest that the request names.
func (t *tagImport) top(ctx context.Context) (fetched, error) {
	if t.spec.ID != "" {
		t.first = digest.Digest(t.spec.ID)
		return t.at(ctx, t.first)
	}
	m, err := t.repository.manifestOf(ctx, t.spec.Tag)
	t.first = m.digest
	return t.charged(m, t.spec.String(), err)
}

// at fetches a manifest of the repository by digest.
func (t *tagImport) at(ctx context.Context, d digest.Digest) (fetched, error) {
	m, err := t.repository.manifestAt(ctx, d)
	return t.charged(m, t.name(d), err)
}

func (t *tagImport) charged(m fetched, ref string, err error) (fetched, error) {
	if err == nil {
		err = t.charge(1, len(m.bytes))
	}
	if err != nil {
		return fetched{}, &refError{ref: ref, err: err}
	}
	return m, nil
}

func tooManyManifests(most int) error {
	return contentErrorf("it consists of more than %d manifests", most)
}

// charge counts manifests and bytes against the bounds of the tag and of the request.
func (t *tagImport) charge(manifests, bytes int) error {
	limits := t.options.Limits
	if t.manifests.Add(int64(manifests)) > int64(limits.ManifestsPerTag) {
		return tooManyManifests(limits.ManifestsPerTag)
	}
	if t.bytes.Add(int64(bytes)) > int64(limits.TagSize) {
		return contentErrorf("its manifests and configs are more than %d bytes", limits.TagSize)
	}
	if t.session.read.Add(int64(bytes)) > int64(limits.RequestSize) {
		return contentErrorf("the manifests and configs of all images of the request are more than %d bytes", limits.RequestSize)
	}
	return nil
}

// parse reads a fetched manifest.
func (t *tagImport) parse(m fetched) (document, error) {
	doc, err := parseDocument(m.mediaType, m.bytes)
	if err != nil {
		return document{}, &refError{ref: t.name(m.digest), err: err}
	}
	return doc, nil
}
