package importer

import "slices"

// Platform is an operating system and an architecture, in Go's names.
type Platform struct {
	// Architecture is a processor architecture such as "arm64". Default "": that of this process.
	Architecture string `json:"architecture"`
	// OS is an operating system such as "linux". Default "": that of this process.
	OS string `json:"os"`
}

// fallbackPlatform is tried when a list has nothing for the platform looked for.
var fallbackPlatform = Platform{Architecture: "amd64", OS: "linux"}

// unknownPart is how build tools fill the platform of entries that run nowhere, such as
// attestations, and what an Image records of an entry that does not say.
const unknownPart = "unknown"

// orElse fills empty parts.
func (p Platform) orElse(other Platform) Platform {
	if p.Architecture == "" {
		p.Architecture = other.Architecture
	}
	if p.OS == "" {
		p.OS = other.OS
	}
	return p
}

// choosePlatform says which of the entries a Legacy import takes: the first that is for want, else
// the first for linux/amd64, else the first. Attestations are taken only when there is nothing
// else. -1 for no entries.
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

// hasPlatform tells that an image (not a list) for exactly this platform is among the entries.
func hasPlatform(entries []listEntry, want Platform) bool {
	return slices.ContainsFunc(entries, func(e listEntry) bool {
		return e.Platform == want && !e.isList() && !e.attestation()
	})
}
