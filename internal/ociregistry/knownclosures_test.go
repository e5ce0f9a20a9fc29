package ociregistry

import (
	"fmt"
	"testing"

	digest "github.com/opencontainers/go-digest"
)

func TestKnownClosuresAreBounded(t *testing.T) {
	c := newKnownClosures(10, 100)
	put := func(name string, parts int) {
		c.put(digest.FromString(name), knownParts{Image: &Image{Children: make([]Part, parts)}})
	}
	for i := range 20 {
		put(fmt.Sprint(i), 1)
	}
	if c.lru.Len() != 10 || c.parts != 10 {
		t.Errorf("%d manifests with %d parts are kept", c.lru.Len(), c.parts)
	}
	for range 3 { // the same one again counts once
		put("list", 60)
	}
	put("other", 60)
	if _, found := c.get(digest.FromString("list")); found || c.lru.Len() != 1 || c.parts != 60 {
		t.Errorf("%d manifests with %d parts are kept", c.lru.Len(), c.parts)
	}
	put("huge", 1000)
	if _, found := c.get(digest.FromString("huge")); !found || c.parts != 1000 {
		t.Errorf("the newest manifest is not kept: %d parts", c.parts)
	}
}
