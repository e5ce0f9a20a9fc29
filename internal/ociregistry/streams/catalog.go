package streams

import (
	"context"
	"slices"
	"strings"
	"sync"

	imagev1 "github.com/openshift/api/image/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apiserver/pkg/authentication/user"

	"golang.org/x/sync/errgroup"

	"weir.dev/weir/internal/reference"
)

// chunk is how many repositories are asked about at a time.
const chunk = 64

// listing is the sorted list of all repositories, made anew when one comes or goes.
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

// after are the repositories whose names come after last. Nobody changes them.
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
	i, found := slices.BinarySearchFunc(l.repos, last, func(r named, last string) int { return strings.Compare(r.name, last) })
	if found {
		i++
	}
	return l.repos[i:]
}

// Repositories implements ociregistry.Directory. A user sees the streams of the
// namespaces where they may list streams, and beyond those every stream that they may
// pull from.
func (d *Directory) Repositories(ctx context.Context, u user.Info, last string, n int) (names []string, more bool, err error) {
	v := d.reviews.viewer(u)
	all, err := v.everything(ctx, "")
	if err != nil {
		return nil, false, trouble(err, "listing repositories")
	}
	names = []string{}
	for rest := d.listing.after(last); len(rest) > 0; {
		part := rest[:min(chunk, len(rest))]
		rest = rest[len(part):]
		seen, err := v.see(ctx, part, all)
		if err != nil {
			return nil, false, trouble(err, "listing repositories")
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
	}
	return names, false, nil
}

// see tells which repositories the user may see.
func (v viewer) see(ctx context.Context, repos []named, all bool) ([]bool, error) {
	seen := make([]bool, len(repos))
	if all {
		for i := range seen {
			seen[i] = true
		}
		return seen, nil
	}
	questions, ctx := errgroup.WithContext(ctx)
	questions.SetLimit(maxConcurrentReviews)
	for i, repo := range repos {
		questions.Go(func() (err error) {
			seen[i], err = v.stream(ctx, repo.Namespace, repo.Stream)
			return err
		})
	}
	return seen, questions.Wait()
}
