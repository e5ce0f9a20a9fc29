package blobstore

import (
	"slices"
	"strings"
	"sync"

	digest "github.com/opencontainers/go-digest"

	"weir.dev/weir/internal/caches"
)

// reposOfABlob bounds the repositories that recentLinks lists for one blob of a namespace.
const reposOfABlob = 16

// recentLinks lists the repositories that lately got a link to a blob. It is a hint: a link may be gone since, and all are forgotten when the process
// ends. Unlike the cache of links it loses nothing when another link is removed.
type recentLinks struct {
	mu    sync.Mutex // held while a list is extended
	repos *caches.Cache[blobOfNamespace, []string]
}

type blobOfNamespace struct {
	namespace string
	digest    digest.Digest
}

// add puts a repository first in the list for its namespace and a blob.
func (r *recentLinks) add(repo string, d digest.Digest) {
	namespace, _, _ := strings.Cut(repo, "/")
	r.mu.Lock()
	defer r.mu.Unlock()
	key := blobOfNamespace{namespace, d}
	before, found := r.repos.Get(key)
	if found && before[0] == repo {
		return
	}
	key = blobOfNamespace{strings.Clone(namespace), digest.Digest(strings.Clone(string(d)))}
	repos := []string{strings.Clone(repo)}
	for _, other := range before {
		if other != repo && len(repos) < reposOfABlob {
			repos = append(repos, other)
		}
	}
	r.repos.Add(key, repos)
}

// list returns the repositories, the latest first.
func (r *recentLinks) list(namespace string, d digest.Digest) []string {
	repos, _ := r.repos.Get(blobOfNamespace{namespace, d})
	return slices.Clone(repos)
}

// RecentlyLinked lists repositories of a namespace that lately got a link to a blob, the
// latest first, at most 16. It is a hint: the links may be gone. Links of other namespaces
// make no difference.
func (s *Store) RecentlyLinked(namespace string, d digest.Digest) []string {
	return s.recent.list(namespace, d)
}
