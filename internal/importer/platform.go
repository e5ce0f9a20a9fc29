package importer

import "slices"

// Platform is the platform of an entry in a manifest list.
type Platform struct {
	// Architecture is a processor architecture such as "arm64". Default "": that of this process.
	Architecture string `json:"architecture"`
	// OS is an operating system such as "linux". Default "": that of this process.
	OS string `json:"os"`
}

// fallbackPlatform is tried if a list has no entry for the wanted platform.
var fallbackPlatform = Platform{Architecture: "amd64", OS: "linux"}

// unknownPart is the platform that build tools write for entries that are not runnable, such as
// attestations. Images also record it for an entry without a platform.
const unknownPart = "unknown"

// orElse returns p with empty parts replaced by those of other.
func (p Platform) orElse(other Platform) Platform {
	if p.Architecture == "" {
		p.Architecture = other.Architecture
	}
	if p.OS == "" {
		p.OS = other.OS
	}
	return p
}

// choosePlatform returns the index of the entry that a Legacy import uses: the first for want, else
// the first for linux/amd64, else the first. It uses attestations only if there is nothing else.
// It returns -1 without entries.
func choosePlatform(entries []listEntry, want Platform) int {
	for _, platform := range []Platform{want, fallbackPlatform} {
		if i := slices.IndexFunc(entries, func(e listEntry) bool { return e.Platform == platform && !e.attestation() }); i >= 0 {
			return i
		}
	}
	if i := slices.IndexFunc(entries, func(e listEntry) bool { return !e.attestation() }); i >= 0 {
		return i
	}
	return min(len(entries), 1) - 1
}

// hasPlatform reports whether entries has an image (not a list) for exactly this platform.
func hasPlatform(entries []listEntry, want Platform) bool {
	return slices.ContainsFunc(entries, func(e listEntry) bool {
		return e.Platform == want && !e.isList() && !e.attestation()
	})
}
