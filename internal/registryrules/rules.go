package registryrules

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"weir.dev/weir/internal/reference"
)

// Rules say where pull specs are fetched from. They are immutable; a nil
// *Rules fetches everything from where it points.
type Rules struct {
	conf           []confEntry
	digests        []mirrorEntry // ICSP and IDMS: for digests only
	tags           []mirrorEntry // ITMS: for tags only
	insecure       []string
	blocked        []string
	allowed        []string
	enforceAllowed bool
}

// Source is one place to fetch a pull spec from.
type Source struct {
	// Host is host[:port] to contact; Docker Hub is registry-1.docker.io.
	Host string
	// CredentialHost is host[:port] to look credentials up by; Docker Hub is docker.io.
	CredentialHost string
	// Path is the repository below the host.
	Path string
	// Reference is the tag or digest to ask for; "" for the repository itself.
	Reference string
	// Insecure: certificates are not verified, and plain http is tried when
	// https cannot be spoken.
	Insecure bool
	// Mirror reports whether it is a mirror.
	Mirror bool
}

// Repository is host/repository, as shown to people.
func (s Source) Repository() string { return s.CredentialHost + "/" + s.Path }

// Plan lists the sources of one pull spec by the rules.
type Plan struct {
	// Mirrors are tried first, in order.
	Mirrors []Source
	// Source is the place the pull spec stands for, nil when it must not be contacted.
	Source *Source
	// Blocked is why sources are missing, in words; "" when none are.
	Blocked string
}

// Sources are the mirrors and then the source; empty when the pull spec is blocked.
func (p Plan) Sources() []Source {
	all := slices.Clone(p.Mirrors)
	if p.Source != nil {
		all = append(all, *p.Source)
	}
	return all
}

// confEntry is a registry of registries.conf.
type confEntry struct {
	prefix   string
	location string // "" with a wildcard prefix: fetched from where it points
	insecure bool
	blocked  bool
	mirrors  []confMirror
}

// confMirror is a mirror of registries.conf.
type confMirror struct {
	location   string
	insecure   bool
	tags, byID bool // which kinds of reference it serves
}

// mirrorEntry are the mirrors that cluster objects name for one source scope.
type mirrorEntry struct {
	scope   string
	mirrors []string
	never   bool // NeverContactSource
}

// Plan says where to fetch a pull spec from. Defaults are filled in (registry,
// namespace); with neither tag nor digest it plans for a tag list.
//
// The most specific matching scope decides about mirrors. Where registries.conf
// and cluster objects name the same scope, the file's mirrors come first. Every
// place is then looked up again by where it really is: one whose location is
// blocked is left out, one whose location is insecure is insecure.
func (r *Rules) Plan(ref reference.PullSpec) Plan { return r.plan(ref, ref.ID != "") }

// PlanByDigest is Plan by the rules for digests, whether or not the pull spec has one.
func (r *Rules) PlanByDigest(ref reference.PullSpec) Plan { return r.plan(ref, true) }

// PlanByTag is Plan by the rules for tags, even if the pull spec has a digest.
func (r *Rules) PlanByTag(ref reference.PullSpec) Plan { return r.plan(ref, false) }

// plan follows the rules for digests or those for tags.
func (r *Rules) plan(ref reference.PullSpec, byID bool) Plan {
	full := canonical(ref)
	if r == nil {
		src, _ := sourceAt(full, false)
		return Plan{Source: &src}
	}
	var plan Plan
	entry, matched := longestConf(r.conf, full)
	for _, m := range r.mirrorsFor(full, byID, entry, matched) {
		src, err := sourceAt(m.location+full[len(m.matched):], m.insecure)
		if err != nil {
			plan.note("mirror %s: %v", m.location, err)
			continue
		}
		if src = r.physical(src); r.blocks(src.Repository()) {
			plan.note("mirror %s is blocked", src.Repository())
			continue
		}
		src.Mirror = true
		plan.Mirrors = append(plan.Mirrors, src)
	}
	r.planSource(&plan, full, byID, entry, matched)
	return plan
}

// planSource adds the source itself unless something speaks against it.
func (r *Rules) planSource(plan *Plan, full string, byID bool, entry *confEntry, matched string) {
	if never, scope := r.neverContact(full, byID); never {
		plan.note("the mirror rules of %s forbid contacting it", scope)
		return
	}
	if r.enforceAllowed && !r.Allowed(repositoryOf(full)) {
		plan.note("registry is not among the allowed ones")
		return
	}
	if entry != nil && entry.blocked {
		plan.note("registry %s is blocked", entry.prefix)
		return
	}
	at := full
	insecure := false
	if entry != nil {
		insecure = entry.insecure
		if entry.location != "" {
			at = entry.location + full[len(matched):]
		}
	}
	src, err := sourceAt(at, insecure)
	if err != nil {
		plan.note("location of %s: %v", full, err)
		return
	}
	if src = r.physical(src); r.blocks(src.Repository()) || r.blocks(full) {
		plan.note("registry %s is blocked", src.CredentialHost)
		return
	}
	plan.Source = &src
}

func (p *Plan) note(format string, args ...any) {
	if p.Blocked != "" {
		p.Blocked += "; "
	}
	p.Blocked += fmt.Sprintf(format, args...)
}

// Allowed reports whether a repository ("host/path") is inside the cluster's
// allowedRegistries; an empty list allows everything.
func (r *Rules) Allowed(repository string) bool {
	return r == nil || len(r.allowed) == 0 || scopeIn(r.allowed, repository) != ""
}

// Insecure reports whether the rules make a repository ("host/path", or a bare
// host) insecure, before any rewriting.
func (r *Rules) Insecure(repository string) bool {
	if r == nil {
		return false
	}
	if scopeIn(r.insecure, repository) != "" {
		return true
	}
	entry, _ := longestConf(r.conf, repository)
	return entry != nil && entry.insecure
}

// physical looks a place up by where it really is and makes it insecure when
// a rule for that location says so.
func (r *Rules) physical(s Source) Source {
	s.Insecure = s.Insecure || r.Insecure(s.Repository())
	return s
}

// blocks reports whether a reference is inside a blocked scope. A blocked host
// without a port is blocked on every port (as containers' own tools have it),
// unless the file has an entry for that very port.
func (r *Rules) blocks(full string) bool {
	bare := withoutPort(full)
	if scopeIn(r.blocked, full) != "" || scopeIn(r.blocked, bare) != "" {
		return true
	}
	entry, _ := longestConf(r.conf, full)
	if entry == nil {
		entry, _ = longestConf(r.conf, bare)
	}
	return entry != nil && entry.blocked
}

// rewrite is a mirror location that replaces the matched beginning of a reference.
type rewrite struct {
	location, matched string
	insecure          bool
}

// mirrorsFor are the mirrors of the most specific scope, the file's first,
// each location once.
func (r *Rules) mirrorsFor(full string, byID bool, entry *confEntry, matched string) []rewrite {
	cluster, clusterMatched := longestMirror(r.kind(byID), full)
	var found []rewrite
	fileScope, clusterScope := -1, -1
	if entry != nil && len(entry.mirrors) > 0 {
		fileScope = scopeLength(entry.prefix)
	}
	if cluster != nil && len(cluster.mirrors) > 0 {
		clusterScope = scopeLength(cluster.scope)
	}
	if fileScope >= 0 && fileScope >= clusterScope {
		for _, m := range entry.mirrors {
			if byID && m.byID || !byID && m.tags {
				found = append(found, rewrite{location: m.location, matched: matched, insecure: m.insecure})
			}
		}
	}
	// A file entry none of whose mirrors serve this kind of reference must not
	// hide the cluster's mirrors.
	if clusterScope >= 0 && (clusterScope >= fileScope || len(found) == 0) {
		for _, m := range cluster.mirrors {
			if !slices.ContainsFunc(found, func(f rewrite) bool { return f.location == m }) {
				found = append(found, rewrite{location: m, matched: clusterMatched})
			}
		}
	}
	return found
}

func (r *Rules) kind(byID bool) []mirrorEntry {
	if byID {
		return r.digests
	}
	return r.tags
}

func (r *Rules) neverContact(full string, byID bool) (bool, string) {
	entry, _ := longestMirror(r.kind(byID), full)
	if entry == nil {
		return false, ""
	}
	return entry.never, entry.scope
}

// repositoryOf cuts tag and digest off a full reference.
func repositoryOf(full string) string {
	repo, _, _ := strings.Cut(full, "@")
	if i := strings.LastIndexByte(repo, ':'); i > strings.LastIndexByte(repo, '/') {
		repo = repo[:i]
	}
	return repo
}

// Equal reports whether two sets of rules are the same.
func (r *Rules) Equal(other *Rules) bool { return reflect.DeepEqual(r, other) }
