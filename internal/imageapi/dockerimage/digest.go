package dockerimage

import (
	"fmt"

	digest "github.com/opencontainers/go-digest"

	"weir.dev/weir/internal/manifest"
)

// canonicalDigest is the sha256 digest that a registry serves manifest bytes of a media type
// under. For schema 1 (and "", which old clients send for it) that is the digest of the signed
// payload, without the signatures. Lists, foreign types, and bytes that are not of the type have
// no digest here.
func canonicalDigest(content []byte, mediaType string) (digest.Digest, error) {
	read, err := manifest.Read(content)
	if err != nil {
		return "", fmt.Errorf("reading manifest: %w", err)
	}
	parsed, err := FromManifest(read)
	if err != nil {
		return "", err
	}
	switch {
	case mediaType == "" || manifest.IsSchema1(mediaType):
		if parsed.SchemaVersion != 1 {
			return "", fmt.Errorf("manifest has schemaVersion %d, not 1", parsed.SchemaVersion)
		}
		payload, err := read.SignedPayload(content)
		if err != nil {
			return "", err
		}
		return digest.FromBytes(payload), nil
	case manifest.IsImageManifest(mediaType):
		if parsed.SchemaVersion != 2 || len(parsed.Manifests) > 0 || parsed.ConfigDigest == "" {
			return "", fmt.Errorf("manifest is not of type %s", mediaType)
		}
		if parsed.MediaType != "" && parsed.MediaType != mediaType {
			return "", fmt.Errorf("manifest declares type %s, not %s", parsed.MediaType, mediaType)
		}
		return digest.FromBytes(content), nil
	}
	return "", fmt.Errorf("no digest is known for manifests of type %s", mediaType)
}
