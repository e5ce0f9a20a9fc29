package image

import (
	"context"
	"slices"

	imagev1 "github.com/openshift/api/image/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"golang.org/x/sync/errgroup"

	"weir.dev/weir/internal/imageapi/dockerimage"
)

const (
	// maxNesting bounds how deep lists of lists are followed. Registries nest an
	// index in an index at most; more is no real image.
	maxNesting = 8
	// maxLookups bounds the Images of one request that are looked up at a time.
	maxLookups = 16
)

// Found is an Image that Reach came to.
type Found struct {
	Name string
	// Image must not be changed. It is nil when no Image of that name is stored:
	// it was deleted, or is part of a manifest list and was never imported.
	Image *imagev1.Image
}

// Reach finds the named Images and all that are parts of them, through manifest
// lists in manifest lists, as the readers of a stream see them: each once, in order
// of their distance and then of mention. Lists may be made to contain each other;
// that does no harm.
func (r *Registry) Reach(ctx context.Context, s *imagev1.ImageStream, names []string) ([]Found, error) {
	return reach(ctx, names, func(ctx context.Context, n int) getImage {
		get := r.reader(ctx, n)
		return func(ctx context.Context, name string) (*imagev1.Image, error) {
			img, err := get(ctx, name)
			if err != nil {
				return nil, err
			}
			return seenFrom(img, s), nil
		}
	})
}

// Complete reports whether an Image and all its parts are stored, and none of them is
// a mere claim. It is false when that is not known.
func (r *Registry) Complete(ctx context.Context, name string) bool {
	found, err := reach(ctx, []string{name}, r.reader)
	return err == nil && !slices.ContainsFunc(found, func(f Found) bool {
		return f.Image == nil || dockerimage.ClaimedBy(f.Image) != ""
	})
}

// getImage returns an Image that the caller must not change; NotFound if there is none.
type getImage func(ctx context.Context, name string) (*imagev1.Image, error)

// reach finds the named Images and their parts, level by level; reader returns the way to get so
// many Images.
func reach(ctx context.Context, names []string, reader func(ctx context.Context, n int) getImage) ([]Found, error) {
	var found []Found
	seen := map[string]struct{}{}
	for depth := 0; depth <= maxNesting && len(names) > 0; depth++ {
		names = unseen(seen, names)
		level, err := lookUp(ctx, names, reader(ctx, len(names)))
		if err != nil {
			return nil, err
		}
		found = append(found, level...)
		names = parts(level)
	}
	return found, nil
}

// unseen are the names that seen does not have yet; it has them afterwards.
func unseen(seen map[string]struct{}, names []string) []string {
	var fresh []string
	for _, name := range names {
		if _, known := seen[name]; !known {
			seen[name] = struct{}{}
			fresh = append(fresh, name)
		}
	}
	return fresh
}

// parts are the names of all that the verified lists among images consist of. A claimed list
// leads nowhere: its author may name any digest.
func parts(images []Found) []string {
	var names []string
	for _, f := range images {
		if f.Image == nil || dockerimage.ClaimedBy(f.Image) != "" {
			continue
		}
		for i := range f.Image.DockerImageManifests {
			names = append(names, f.Image.DockerImageManifests[i].Digest)
		}
	}
	return names
}

func lookUp(ctx context.Context, names []string, get getImage) ([]Found, error) {
	found := make([]Found, len(names))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(maxLookups)
	for i, name := range names {
		group.Go(func() error {
			img, err := get(ctx, name)
			if err != nil && !apierrors.IsNotFound(err) {
				return err
			}
			found[i] = Found{Name: name, Image: img}
			return nil
		})
	}
	return found, group.Wait()
}
