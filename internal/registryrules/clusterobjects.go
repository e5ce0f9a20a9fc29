package registryrules

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	configv1 "github.com/openshift/api/config/v1"
	operatorv1alpha1 "github.com/openshift/api/operator/v1alpha1"

	"weir.dev/weir/internal/foreigntext"
)

// ClusterObjects are the custom resources of a cluster that speak of
// registries. All are optional; they are only read.
type ClusterObjects struct {
	ContentSourcePolicies []operatorv1alpha1.ImageContentSourcePolicy
	DigestMirrorSets      []configv1.ImageDigestMirrorSet
	TagMirrorSets         []configv1.ImageTagMirrorSet
	// Image is the object "cluster"; nil is the same as an empty one.
	Image *configv1.Image
	// EnforceAllowed makes the allowedRegistries of Image refuse every other
	// registry as a source. The reference's importer does not look at that
	// list, so the default leaves it to callers to ask Rules.Allowed.
	EnforceAllowed bool
}

// Warning is something in a configuration that was left out.
type Warning struct {
	// Origin names what it was found in: "ImageDigestMirrorSet mirrors",
	// "secret ns/name". Secrets' contents are never part of it.
	Origin string
	// Text says what is wrong and what was done about it.
	Text string
}

// String is "origin: text".
func (w Warning) String() string { return w.Origin + ": " + w.Text }

// New joins a registries.conf (nil for none) with the objects of a
// cluster. Entries that cannot work are left out, each with a Warning.
//
// Objects of a kind are taken in the order of their names. Where several name
// the same source, their mirrors are joined with each object's order kept where
// possible, and NeverContactSource in one of them decides.
func New(conf *Conf, objects ClusterObjects) (*Rules, []Warning) {
	b := rulesBuilder{rules: &Rules{enforceAllowed: objects.EnforceAllowed}}
	if conf != nil {
		b.rules.conf = slices.Clone(conf.entries)
	}
	b.digests(objects)
	b.tags(objects)
	if objects.Image != nil {
		sources := objects.Image.Spec.RegistrySources
		origin := "Image " + objects.Image.Name
		b.rules.insecure = b.scopes(origin, "insecureRegistries", sources.InsecureRegistries)
		b.rules.blocked = b.scopes(origin, "blockedRegistries", sources.BlockedRegistries)
		b.rules.allowed = b.scopes(origin, "allowedRegistries", sources.AllowedRegistries)
	}
	return b.rules, b.warnings
}

type rulesBuilder struct {
	rules    *Rules
	warnings []Warning
}

func (b *rulesBuilder) warn(origin, format string, args ...any) {
	b.warnings = append(b.warnings, Warning{Origin: origin, Text: fmt.Sprintf(format, args...)})
}

// namedMirrors is one entry of one object.
type namedMirrors struct {
	origin, source string
	mirrors        []string
	policy         configv1.MirrorSourcePolicy
}

func (b *rulesBuilder) digests(objects ClusterObjects) {
	var all []namedMirrors
	for _, o := range sorted(objects.DigestMirrorSets, func(o configv1.ImageDigestMirrorSet) string { return o.Name }) {
		for _, m := range o.Spec.ImageDigestMirrors {
			all = append(all, namedMirrors{"ImageDigestMirrorSet " + o.Name, m.Source, texts(m.Mirrors), m.MirrorSourcePolicy})
		}
	}
	for _, o := range sorted(objects.ContentSourcePolicies, func(o operatorv1alpha1.ImageContentSourcePolicy) string { return o.Name }) {
		for _, m := range o.Spec.RepositoryDigestMirrors {
			all = append(all, namedMirrors{"ImageContentSourcePolicy " + o.Name, m.Source, m.Mirrors, ""})
		}
	}
	b.rules.digests = b.merge(all)
}

func (b *rulesBuilder) tags(objects ClusterObjects) {
	var all []namedMirrors
	for _, o := range sorted(objects.TagMirrorSets, func(o configv1.ImageTagMirrorSet) string { return o.Name }) {
		for _, m := range o.Spec.ImageTagMirrors {
			all = append(all, namedMirrors{"ImageTagMirrorSet " + o.Name, m.Source, texts(m.Mirrors), m.MirrorSourcePolicy})
		}
	}
	b.rules.tags = b.merge(all)
}

// merge makes one entry per source.
func (b *rulesBuilder) merge(all []namedMirrors) []mirrorEntry {
	lists := map[string][][]string{}
	entries := map[string]*mirrorEntry{}
	var order []string
	for _, m := range all {
		scope, err := cleanScope(m.source, true)
		if err != nil {
			b.warn(m.origin, "source %v: entry left out", err)
			continue
		}
		mirrors := b.mirrors(m)
		if len(mirrors) == 0 {
			continue
		}
		entry := entries[scope]
		if entry == nil {
			entry = &mirrorEntry{scope: scope}
			entries[scope] = entry
			order = append(order, scope)
		}
		lists[scope] = append(lists[scope], mirrors)
		switch m.policy {
		case configv1.NeverContactSource:
			entry.never = true
		case "", configv1.AllowContactingSource:
		default:
			b.warn(m.origin, "mirrorSourcePolicy %q of source %s is unknown: the source may be contacted", foreigntext.Truncate(string(m.policy), 50), scope)
		}
	}
	merged := make([]mirrorEntry, 0, len(order))
	for _, scope := range order {
		entries[scope].mirrors = mergeOrders(lists[scope])
		merged = append(merged, *entries[scope])
	}
	return merged
}

// mirrors are the usable mirrors of an entry. If an entry had mirrors and none
// is usable, a policy of never contacting the source still has to hold, so the
// entry is kept with the malformed location: planning then notes it.
func (b *rulesBuilder) mirrors(m namedMirrors) []string {
	var usable []string
	for _, mirror := range m.mirrors {
		location, err := cleanScope(mirror, false)
		if err != nil {
			b.warn(m.origin, "mirror %v: left out", err)
			continue
		}
		usable = append(usable, location)
	}
	if len(usable) == 0 && len(m.mirrors) > 0 && m.policy == configv1.NeverContactSource {
		b.warn(m.origin, "source %q: no usable mirror and the source must not be contacted", foreigntext.Truncate(m.source, 100))
		return m.mirrors
	}
	return usable
}

func (b *rulesBuilder) scopes(origin, field string, list []string) []string {
	var usable []string
	for i, s := range list {
		scope, err := cleanScope(s, true)
		if err == nil && scope == "" {
			err = errors.New("empty")
		}
		if err != nil {
			b.warn(origin, "spec.registrySources.%s[%d]: %v: left out", field, i, err)
			continue
		}
		usable = append(usable, scope)
	}
	return usable
}

// mergeOrders joins lists so that what precedes another in any list still does,
// as far as the lists agree. Where they do not, the first one heard of goes first.
func mergeOrders(lists [][]string) []string {
	var pending []string
	for _, list := range lists {
		for _, s := range list {
			if !slices.Contains(pending, s) {
				pending = append(pending, s)
			}
		}
	}
	merged := make([]string, 0, len(pending))
	for len(pending) > 0 {
		next := slices.IndexFunc(pending, func(s string) bool { return !preceded(s, pending, lists) })
		next = max(next, 0)
		merged = append(merged, pending[next])
		pending = slices.Delete(pending, next, next+1)
	}
	return merged
}

// preceded reports whether some list has a pending element before s.
func preceded(s string, pending []string, lists [][]string) bool {
	for _, list := range lists {
		at := slices.Index(list, s)
		for _, before := range list[:max(at, 0)] {
			if before != s && slices.Contains(pending, before) {
				return true
			}
		}
	}
	return false
}

func texts(mirrors []configv1.ImageMirror) []string {
	out := make([]string, len(mirrors))
	for i, m := range mirrors {
		out[i] = string(m)
	}
	return out
}

func sorted[O any](objects []O, name func(O) string) []O {
	return slices.SortedStableFunc(slices.Values(objects), func(a, b O) int { return cmp.Compare(name(a), name(b)) })
}
