package importer

import "testing"

func TestChoosePlatform(t *testing.T) {
	entry := func(os, arch string) listEntry { return listEntry{Platform: Platform{Architecture: arch, OS: os}} }
	marked := entry("linux", "amd64")
	marked.annotations = map[string]string{"vnd.docker.reference.type": "attestation-manifest"}
	unsaid := listEntry{}
	for _, c := range []struct {
		name    string
		entries []listEntry
		want    int
	}{
		{"nothing", nil, -1},
		{"exact", []listEntry{entry("linux", "amd64"), entry("linux", "arm64")}, 1},
		{"both parts count", []listEntry{entry("windows", "arm64"), entry("linux", "mips")}, 0},
		{"marked attestation of a platform", []listEntry{marked, entry("linux", "amd64")}, 1},
		{"nothing but attestations", []listEntry{marked, entry("unknown", "unknown")}, 0},
		{"no platform is better than an attestation", []listEntry{entry("unknown", "unknown"), unsaid}, 1},
	} {
		if got := choosePlatform(c.entries, Platform{Architecture: "arm64", OS: "linux"}); got != c.want {
			t.Errorf("%s: entry %d, want %d", c.name, got, c.want)
		}
	}
}
