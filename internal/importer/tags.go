package importer

import (
	"cmp"
	"slices"
	"strings"

	"weir.dev/weir/internal/reference"
)

// prioritizeTags sorts the tags of a repository in the order of their import:
//
//  1. latest
//  2. minor versions (5.1, v5.1, 5.1-rc1), newest first
//  3. full versions (5.1.3, v5.1.3-x), newest first
//  4. everything else, in byte order
//
// Versions compare as semantic versions, so a pre-release comes after its release. Of equal
// versions the one without v is first. An empty name is latest; duplicates and names that are not
// valid tags are removed. A number with a leading zero is not a version number (04 in 20.04): such
// tags belong to the last group.
func prioritizeTags(listed []string) []string {
	tags := make([]rankedTag, 0, len(listed))
	seen := make(map[string]bool, len(listed))
	for _, name := range listed {
		if name == "" {
			name = reference.DefaultTag
		}
		if seen[name] || !reference.ValidTag(name) {
			continue
		}
		seen[name] = true
		tags = append(tags, rankTag(name))
	}
	slices.SortFunc(tags, compareTags)
	names := make([]string, len(tags))
	for i, t := range tags {
		names[i] = t.name
	}
	return names
}

// The groups of prioritizeTags, in order.
const (
	rankLatest = iota
	rankMinor
	rankFull
	rankOther
)

type rankedTag struct {
	name       string
	rank       int
	numbers    [3]string // decimal digits without leading zeros
	prerelease []string  // nil for a release
}

func rankTag(name string) rankedTag {
	tag := rankedTag{name: name, rank: rankOther}
	if name == reference.DefaultTag {
		tag.rank = rankLatest
		return tag
	}
	core, pre, hasPre := strings.Cut(strings.TrimPrefix(name, "v"), "-")
	numbers := strings.Split(core, ".")
	if len(numbers) != 2 && len(numbers) != 3 {
		return tag
	}
	if slices.ContainsFunc(numbers, func(n string) bool { return !versionNumber(n) }) {
		return tag
	}
	if hasPre {
		tag.prerelease = strings.Split(pre, ".")
		if slices.ContainsFunc(tag.prerelease, func(id string) bool { return !prereleaseID(id) }) {
			return tag
		}
	}
	tag.rank, tag.numbers[2] = rankMinor, "0"
	if len(numbers) == 3 {
		tag.rank = rankFull
	}
	copy(tag.numbers[:], numbers)
	return tag
}

// versionNumber: digits, no leading zero. Tags are short, so the length needs no bound of its own.
func versionNumber(s string) bool {
	return allDigits(s) && (len(s) == 1 || s[0] != '0')
}

func allDigits(s string) bool {
	return s != "" && strings.Trim(s, "0123456789") == ""
}

func prereleaseID(s string) bool {
	if allDigits(s) {
		return versionNumber(s)
	}
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		return !(r == '-' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z')
	})
}

func compareTags(a, b rankedTag) int {
	if c := cmp.Compare(a.rank, b.rank); c != 0 {
		return c
	}
	if a.rank == rankMinor || a.rank == rankFull {
		for i := range a.numbers {
			if c := compareNumbers(b.numbers[i], a.numbers[i]); c != 0 {
				return c
			}
		}
		if c := comparePrereleases(b.prerelease, a.prerelease); c != 0 {
			return c
		}
		// Digits sort before "v", so byte order puts the spelling without v first.
	}
	return cmp.Compare(a.name, b.name)
}

// compareNumbers compares decimal numbers of any length that have no leading zeros.
func compareNumbers(a, b string) int {
	if c := cmp.Compare(len(a), len(b)); c != 0 {
		return c
	}
	return cmp.Compare(a, b)
}

// comparePrereleases follows semver.org §11: a release is above its pre-releases, numbers are
// below words, and of two that agree so far the longer is above.
func comparePrereleases(a, b []string) int {
	switch {
	case a == nil && b == nil:
		return 0
	case a == nil:
		return 1
	case b == nil:
		return -1
	}
	return slices.CompareFunc(a, b, func(x, y string) int {
		switch xn, yn := allDigits(x), allDigits(y); {
		case xn && yn:
			return compareNumbers(x, y)
		case xn:
			return -1
		case yn:
			return 1
		}
		return cmp.Compare(x, y)
	})
}
