package importer

import (
	"context"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"weir.dev/weir/internal/reference"
)

// listedTags is the result of importing a repository, without the single images of the request.
type listedTags struct {
	failure    *outcome
	images     []ImageResult
	additional []string
}

// importRepository lists the tags of a repository and imports the first of them.
func (s *session) importRepository(ctx context.Context, req RepositoryRequest, limit int) listedTags {
	spec, err := pullSpec(req.Ref)
	if err == nil {
		spec = spec.AsRepository()
	}
	var tags []string
	if err == nil {
		err = guard(ctx, req.Ref, func() (err error) {
			tags, err = s.listTags(ctx, spec, req.Insecure)
			return err
		})
	}
	if err != nil {
		o := repositoryOutcome(ctx, req.Ref, err)
		return listedTags{failure: &o}
	}
	if limit == 0 {
		limit = DefaultMaxRepositoryTags
	}
	if limit < 0 || limit > len(tags) {
		limit = len(tags)
	}
	out := listedTags{images: make([]ImageResult, limit), additional: tags[limit:]}
	_ = forEach(ctx, limit, s.options.Concurrency, req.Ref, func(i int) error {
		out.images[i] = s.importOne(ctx, req.tag(spec, tags[i]))
		return nil
	})
	return out
}

// tag is the request for one tag of the repository.
func (r RepositoryRequest) tag(spec reference.PullSpec, tag string) ImageRequest {
	return ImageRequest{
		Ref:             spec.WithTag(tag).String(),
		Insecure:        r.Insecure,
		Mode:            r.Mode,
		IncludeManifest: r.IncludeManifest,
	}
}

// listTags lists the tags in order of priority.
func (s *session) listTags(ctx context.Context, spec reference.PullSpec, insecure bool) ([]string, error) {
	repo, err := s.open(spec, insecure)
	if err != nil {
		return nil, err
	}
	listed, err := call(ctx, repo, repo.remote.Tags)
	if err != nil {
		return nil, err
	}
	tags := prioritizeTags(listed)
	return tags[:min(len(tags), s.options.Limits.TagsPerRepository)], nil
}

// repositoryResult returns the result of a repository. It includes tags beyond the limit that were
// imported as single images of the same request.
func repositoryResult(req RepositoryRequest, listed listedTags, requests []ImageRequest, results []ImageResult) *RepositoryResult {
	if o := listed.failure; o != nil {
		return &RepositoryResult{Status: o.status, Retry: o.retry, Retryable: o.retry != RetryNever, RetryAfter: o.retryAfter}
	}
	out := &RepositoryResult{Images: listed.images}
	imported := importedTags(req, requests, results)
	for _, tag := range listed.additional {
		if result, ok := imported[tag]; ok {
			out.Images = append(out.Images, result)
		} else {
			out.AdditionalTags = append(out.AdditionalTags, tag)
		}
	}
	out.Status = repositoryStatus(out.Images)
	return out
}

func repositoryStatus(images []ImageResult) metav1.Status {
	failed := 0
	for _, i := range images {
		if i.Status.Status != metav1.StatusSuccess {
			failed++
		}
	}
	if failed == 0 {
		return success()
	}
	message := "one of the images from this repository failed to import" // clients look for these words
	if failed > 1 {
		message = fmt.Sprintf("%s (%d in all)", message, failed)
	}
	return metav1.Status{
		Status:  metav1.StatusFailure,
		Reason:  ReasonImportFailed,
		Message: message,
	}
}

// importedTags returns the single images that equal an import of their tags with the repository,
// with references in the repository's spelling.
func importedTags(req RepositoryRequest, requests []ImageRequest, results []ImageResult) map[string]ImageResult {
	imported := map[string]ImageResult{}
	repo, err := pullSpec(req.Ref)
	if err != nil {
		return imported
	}
	repo = repo.AsRepository()
	for i, r := range requests {
		spec, err := pullSpec(r.Ref)
		if err != nil || results[i].Image == nil || spec.Tag == "" || spec.AsRepository().Identity() != repo.Identity() {
			continue
		}
		if r.Insecure != req.Insecure || preserves(r.Mode) != preserves(req.Mode) || r.PreferArch != "" || r.PreferOS != "" {
			continue
		}
		if req.IncludeManifest && !r.IncludeManifest {
			continue // its text is gone
		}
		imported[spec.Tag] = respelled(results[i].deepCopy(), repo, req.IncludeManifest)
	}
	return imported
}

func respelled(result ImageResult, repo reference.PullSpec, text bool) ImageResult {
	result.Image.DockerImageReference = repo.WithID(result.Image.Name).String()
	if !text {
		stripText(result.Image)
	}
	for i := range result.Manifests {
		m := &result.Manifests[i]
		m.DockerImageReference = repo.WithID(m.Name).String()
	}
	return result
}
