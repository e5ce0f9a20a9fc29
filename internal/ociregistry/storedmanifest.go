package ociregistry

import (
	"strconv"
	"strings"

	digest "github.com/opencontainers/go-digest"
)

// storedManifest is a manifest with its response headers prepared, so that serving one from
// memory allocates little.
type storedManifest struct {
	content   []byte
	mediaType string
	digest    digest.Digest

	headerType, headerLength, headerDigest, headerTag []string
}

func newStoredManifest(d digest.Digest, mediaType string, content []byte) *storedManifest {
	d = digest.Digest(strings.Clone(d.String())) // do not retain the request's path
	return &storedManifest{
		content: content, mediaType: mediaType, digest: d,
		headerType:   []string{mediaType},
		headerLength: []string{strconv.Itoa(len(content))},
		headerDigest: []string{d.String()},
		headerTag:    []string{entityTag(d)},
	}
}

// entityTag returns the ETag of content.
func entityTag(d digest.Digest) string { return `"` + d.String() + `"` }

// manifestOverhead estimates the memory of a stored manifest without its content.
const manifestOverhead = 1 << 10
