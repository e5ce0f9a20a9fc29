package streams

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"

	imagev1 "github.com/openshift/api/image/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apiserver/pkg/authentication/user"

	"golang.org/x/sync/errgroup"

	"weir.dev/weir/internal/ociregistry"
	"weir.dev/weir/internal/reference"
)

// chunk is how many repositories are authorized at a time.
const chunk = 64

// listing is the sorted list of all repositories, rebuilt when one is added or removed.
type listing struct {
	known *known

	mu    sync.Mutex
	names uint64 // known.names that repos are of
	made  bool
	repos []named
}

// named is a repository with its name, by which the list is sorted.
type named struct {
	name string
	reference.Repository
}

func newListing(k *known) *listing { return &listing{known: k} }

// after returns the repositories whose names sort after last. Callers must not change them.
func (l *listing) after(last string) []named {
	l.mu.Lock()
	defer l.mu.Unlock()
	if names := l.known.names.Load(); !l.made || names != l.names {
		l.repos = nil
		l.known.all(func(_ types.NamespacedName, s *imagev1.ImageStream) {
			repo := repositoryOf(s)
			l.repos = append(l.repos, named{repo.String(), repo})
		})
		slices.SortFunc(l.repos, func(a, b named) int { return strings.Compare(a.name, b.name) })
		l.names, l.made = names, true
	}
	return after(l.repos, last)
}

// after returns the part of a sorted list that follows a name.
func after(repos []named, last string) []named {
	i, found := slices.BinarySearchFunc(repos, last, func(r named, last string) int { return strings.Compare(r.name, last) })
	if found {
		i++
	}
	return repos[i:]
}

// Repositories implements ociregistry.Directory. A user sees the streams of the
// namespaces where they may list streams, and beyond those every stream that they may
// pull from.
func (d *Directory) Repositories(ctx context.Context, u user.Info, last string, n int) (names []string, more bool, err error) {
	v := d.reviews.viewer(u)
	all, err := v.everything(ctx, "")
	if err != nil {
		return nil, false, unavailable(err, "listing repositories")
	}
	names = []string{}
	list := d.listing.after(last)
	for rest := d.skips.over(v.id, list); len(rest) > 0; {
		part := rest[:min(chunk, len(rest))]
		seen, err := v.see(ctx, part, all)
		switch {
		case errors.Is(err, errManyReviews) && len(names) > 0:
			d.skips.add(v.id, after(list, names[len(names)-1]), rest)
			return names, true, nil
		case errors.Is(err, errManyReviews):
			d.skips.add(v.id, list, rest)
			return nil, false, tooManyReviews()
		case err != nil:
			return nil, false, unavailable(err, "listing repositories")
		}
		for i, repo := range part {
			switch {
			case !seen[i]:
			case len(names) >= n:
				return names, true, nil
			default:
				names = append(names, repo.name)
			}
		}
		rest = rest[len(part):]
	}
	return names, false, nil
}

func tooManyReviews() *ociregistry.Error {
	e := ociregistry.NewError(ociregistry.CodeTooManyRequests, "too many namespaces and repositories to authorize in one request; try again: the next request continues from here")
	e.RetryAfter = retryAfter
	return e
}

// see returns which repositories the user may see. They are sorted, so that those of a namespace
// are adjacent.
func (v viewer) see(ctx context.Context, repos []named, all bool) ([]bool, error) {
	seen := make([]bool, len(repos))
	questions, ctx := errgroup.WithContext(ctx)
	questions.SetLimit(maxConcurrentReviews)
	for i := 0; i < len(repos); {
		first := i
		for i < len(repos) && repos[i].Namespace == repos[first].Namespace {
			seen[i] = all
			i++
		}
		if !all {
			questions.Go(func() error { return v.seeIn(ctx, repos[first:i], seen[first:i]) })
		}
	}
	return seen, questions.Wait()
}

// seeIn is see for repositories of one namespace.
func (v viewer) seeIn(ctx context.Context, repos []named, seen []bool) error {
	s, err := v.sight(ctx, repos[0].Namespace)
	for i := 0; i < len(repos) && err == nil; i++ {
		seen[i], err = v.stream(ctx, s, repos[i].Namespace, repos[i].Stream)
	}
	return err
}
