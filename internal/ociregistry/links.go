package ociregistry

import (
	"strings"

	lru "github.com/hashicorp/golang-lru/v2"
	digest "github.com/opencontainers/go-digest"

	"weir.dev/weir/internal/reference"
)

// linkEntries bounds the links that are remembered.
const linkEntries = 1 << 14

// link is content of a repository, which is named by its key.
type link struct {
	repository string
	digest     digest.Digest
}

func linkOf(repo reference.Repository, d digest.Digest) link { return link{repo.Key(), d} }

// linkHints remembers links. It proves nothing: it only tells that asking the store, which
// then has it in memory, is quicker than asking the streams, which would have to ask the
// API about what no image of theirs refers to.
type linkHints struct{ seen *lru.Cache[link, struct{}] }

func newLinkHints() linkHints {
	c, err := lru.New[link, struct{}](linkEntries)
	if err != nil {
		panic(err) // for a size below 1
	}
	return linkHints{c}
}

func (h linkHints) has(l link) bool { return h.seen.Contains(l) }

// saw notes a link, and keeps nothing else of the texts that it is made of.
func (h linkHints) saw(l link) {
	if !h.seen.Contains(l) {
		h.seen.Add(link{strings.Clone(l.repository), digest.Digest(strings.Clone(l.digest.String()))}, struct{}{})
	}
}
