package blobstore

import digest "github.com/opencontainers/go-digest"

// The bytes of the texts of what caches remember.

func linkBytes(k linkKey, _ struct{}) int { return len(k.repo) + len(k.owner) + len(k.digest) }

func ownerBytes(k ownerKey, uid string) int { return len(k.repo) + len(k.name) + len(uid) }

func provenanceBytes(d digest.Digest, sources []string) int {
	const header = 16
	bytes := len(d)
	for _, source := range sources {
		bytes += len(source) + header
	}
	return bytes
}
