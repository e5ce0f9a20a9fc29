package reference

import (
	"fmt"
	"slices"
	"strings"
)

// Names of the default registry, and the defaults of clients.
const (
	DefaultRegistry  = "docker.io" // as users write it
	DefaultNamespace = "library"   // of official images there
	DefaultTag       = "latest"

	// hubContactHost is the host that serves the distribution API of docker.io.
	hubContactHost = "registry-1.docker.io"
	hubIndexHost   = "index.docker.io"
)

// PullSpec is the parsed location of an image or of a repository, as it was
// written. Absent parts are empty. The zero PullSpec is not a location.
//
// A spec without a Name names a registry only ("quay.io"); Parse accepts it,
// nothing can be pulled from it.
type PullSpec struct {
	Registry  string // host[:port]
	Namespace string // first component of the path, when it has several
	Name      string // the rest of the path; may hold slashes
	Tag       string
	ID        string // digest, algorithm:hex
}

// SyntaxError means that a text does not have the expected form.
type SyntaxError struct {
	Form   string // the expected form: "pull spec", "image stream tag name", …
	Text   string // the input
	Reason string
}

func (e *SyntaxError) Error() string { return fmt.Sprintf("%q is %s", e.Text, e.Fault()) }

// Fault returns the error without the text, for messages that quote it already.
func (e *SyntaxError) Fault() string { return fmt.Sprintf("not a valid %s: %s", e.Form, e.Reason) }

// Parse parses [registry/][namespace/]name[:tag][@digest].
//
// The first component is the registry only if it holds "." or ":" or is
// "localhost"; a single component that holds "." or starts with "localhost" is a
// registry and nothing else. The registry may be in upper case, the path may not;
// together they are at most 255 characters. The error is a *SyntaxError.
func Parse(s string) (PullSpec, error) {
	fail := func(reason string) (PullSpec, error) {
		return PullSpec{}, &SyntaxError{Form: "pull spec", Text: s, Reason: reason}
	}
	var spec PullSpec
	rest, id, hasID := strings.Cut(s, "@")
	if hasID {
		if !ValidDigest(id) {
			return fail("the digest must be a known algorithm, a colon and its hexadecimal value")
		}
		spec.ID = id
	}
	// A colon before the last slash belongs to the port of the registry.
	if colon := strings.LastIndexByte(rest, ':'); colon > strings.LastIndexByte(rest, '/') {
		spec.Tag = rest[colon+1:]
		if !ValidTag(spec.Tag) {
			return fail("the tag must be a word character and up to 127 of letters, digits, underscore, dot and dash")
		}
		rest = rest[:colon]
	}
	if rest == "" {
		return fail("the repository is missing")
	}
	if len(rest) > maxNameLength {
		return fail("the repository is longer than 255 characters")
	}
	if reason := spec.splitPath(rest); reason != "" {
		return fail(reason)
	}
	return spec, nil
}

// splitPath splits [registry/]path into the fields of p and returns an error text,
// or "".
func (p *PullSpec) splitPath(path string) string {
	first, rest, several := strings.Cut(path, "/")
	switch {
	case !several && (strings.Contains(first, ".") || strings.HasPrefix(first, "localhost")):
		if !validComponent(first) {
			return "the registry is not a valid host name"
		}
		p.Registry = first
		return ""
	case several && looksLikeRegistry(first):
		if !validRegistry(first) {
			return "the registry is not a valid host name with an optional port"
		}
		p.Registry, path = first, rest
	}
	for component := range strings.SplitSeq(path, "/") {
		if !validComponent(component) {
			if validComponent(strings.ToLower(component)) {
				return "the repository has capital letters, which only the registry and the tag may have"
			}
			return "each path component must be lower-case letters and digits, separated by one dot, one or two underscores, or dashes"
		}
	}
	var found bool
	if p.Namespace, p.Name, found = strings.Cut(path, "/"); !found {
		p.Namespace, p.Name = "", path
	}
	return ""
}

// String joins the parts as they are; nothing is added.
func (p PullSpec) String() string {
	var b strings.Builder
	b.Grow(len(p.Registry) + len(p.Namespace) + len(p.Name) + len(p.Tag) + len(p.ID) + 4)
	for _, part := range []string{p.Registry, p.Namespace, p.Name} {
		if part == "" {
			continue
		}
		if b.Len() > 0 {
			b.WriteByte('/')
		}
		b.WriteString(part)
	}
	if p.Tag != "" {
		b.WriteByte(':')
		b.WriteString(p.Tag)
	}
	if p.ID != "" {
		b.WriteByte('@')
		b.WriteString(p.ID)
	}
	return b.String()
}

// WithDefaults adds the defaults of clients: registry docker.io, there the namespace
// library, and the tag latest unless there is a digest.
func (p PullSpec) WithDefaults() PullSpec {
	if p.Registry == "" {
		p.Registry = DefaultRegistry
	}
	if p.Namespace == "" && p.Name != "" && isHub(p.Registry) {
		p.Namespace = DefaultNamespace
	}
	if p.Tag == "" && p.ID == "" {
		p.Tag = DefaultTag
	}
	return p
}

// MostSpecific drops the tag if there is a digest.
func (p PullSpec) MostSpecific() PullSpec {
	if p.ID != "" {
		p.Tag = ""
	}
	return p
}

// AsRepository drops tag and digest.
func (p PullSpec) AsRepository() PullSpec {
	p.Tag, p.ID = "", ""
	return p
}

// WithTag returns the pull spec of another tag in the same repository.
func (p PullSpec) WithTag(tag string) PullSpec {
	p.Tag, p.ID = tag, ""
	return p
}

// WithID returns the pull spec of an image in the same repository by its digest.
func (p PullSpec) WithID(id string) PullSpec {
	p.Tag, p.ID = "", id
	return p
}

// RepositoryName returns the path within the registry: "namespace/name" or "name",
// as written.
func (p PullSpec) RepositoryName() string {
	if p.Namespace == "" {
		return p.Name
	}
	return p.Namespace + "/" + p.Name
}

// ContactHost returns the host[:port] that serves the registry: docker.io (also as
// default) and index.docker.io are served by registry-1.docker.io.
func (p PullSpec) ContactHost() string {
	switch p.Registry {
	case "", DefaultRegistry, hubIndexHost:
		return hubContactHost
	}
	return p.Registry
}

// Identity returns a text that is equal for two pull specs of the same content: with
// defaults added, the names of docker.io unified, and then docker.io, library and
// latest removed again.
func (p PullSpec) Identity() string {
	p = p.WithDefaults()
	if isHub(p.Registry) {
		p.Registry = DefaultRegistry
		p = p.withoutHub()
	}
	if p.Tag == DefaultTag {
		p.Tag = ""
	}
	return p.String()
}

// withoutHub removes docker.io and library, unless the rest would parse as another
// registry.
func (p PullSpec) withoutHub() PullSpec {
	short := PullSpec{Namespace: p.Namespace, Name: p.Name}
	if p.Namespace == DefaultNamespace && !strings.Contains(p.Name, "/") {
		short.Namespace = ""
	}
	if parsed, err := Parse(short.String()); err == nil && parsed == short {
		p.Registry, p.Namespace = "", short.Namespace
	}
	return p
}

// HubHosts returns the names of Docker Hub's registry: that of pull specs, docker.io, first.
func HubHosts() []string { return []string{DefaultRegistry, hubIndexHost, hubContactHost} }

// CanonicalHost returns host[:port] in lower case, and docker.io for any name of Docker Hub.
func CanonicalHost(host string) string {
	if host = strings.ToLower(host); isHub(host) {
		return DefaultRegistry
	}
	return host
}

func isHub(registry string) bool { return slices.Contains(HubHosts(), registry) }
