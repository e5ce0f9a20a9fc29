package registryrules

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"weir.dev/weir/internal/foreigntext"
	"weir.dev/weir/internal/reference"
)

var (
	hostGrammar = regexp.MustCompile(`^(?:[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9a-fA-F:.]+\])(?::[0-9]{1,5})?$`)
	pathGrammar = regexp.MustCompile(`^[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*)*$`)
)

// ValidHost reports whether host[:port] can be put into a request.
func ValidHost(host string) bool { return hostGrammar.MatchString(host) }

// CheckRepository returns an error unless host[:port] and the repository below it can be put into a
// request.
func CheckRepository(host, path string) error {
	switch {
	case host == "":
		return errors.New("registry is missing")
	case !hostGrammar.MatchString(host):
		return fmt.Errorf("registry %q is malformed", foreigntext.Truncate(host, 100))
	case path == "":
		return errors.New("repository is missing")
	case len(path) > 255 || !pathGrammar.MatchString(path):
		return fmt.Errorf("repository %q is malformed", foreigntext.Truncate(path, 100))
	}
	return nil
}

// contactHost returns the host to connect to.
func contactHost(host string) string {
	return reference.PullSpec{Registry: reference.CanonicalHost(host)}.ContactHost()
}

// canonical spells a pull spec the way rules are written: registry and
// namespace filled in, tag and digest only as given. With a digest the tag
// does not count.
func canonical(ref reference.PullSpec) string {
	spec := ref.AsRepository().WithDefaults()
	full := reference.CanonicalHost(spec.Registry) + "/" + spec.RepositoryName()
	switch {
	case ref.ID != "":
		return full + "@" + ref.ID
	case ref.Tag != "":
		return full + ":" + ref.Tag
	}
	return full
}

// sourceAt takes a rewritten reference apart.
func sourceAt(full string, insecure bool) (Source, error) {
	repo := repositoryOf(full)
	rest := full[len(repo):]
	// A location may itself name a tag; the digest then still decides.
	if _, id, ok := strings.Cut(rest, "@"); ok {
		rest = id
	} else {
		rest = strings.TrimPrefix(rest, ":")
	}
	host, path, _ := strings.Cut(repo, "/")
	host = reference.CanonicalHost(host)
	if host == reference.DefaultRegistry && path != "" && !strings.Contains(path, "/") {
		path = "library/" + path
	}
	s := Source{Host: contactHost(host), CredentialHost: host, Path: path, Reference: rest, Insecure: insecure}
	return s, CheckRepository(host, path)
}

// matchScope returns the beginning of a reference that a scope covers, "" when
// it does not match. Scopes are host[:port][/path] or *.host; they match whole
// path components, so that example.com/foo does not cover example.com/foobar,
// nor example.com the registry example.com:5000. A wildcard covers its hosts
// on every port.
func matchScope(scope, full string) string {
	if scope == "" {
		return ""
	}
	if suffix, ok := strings.CutPrefix(scope, "*"); ok {
		host, _, _ := strings.Cut(full, "/")
		name := host
		if i := strings.LastIndexByte(name, ':'); i >= 0 && !strings.Contains(suffix, ":") {
			name = name[:i]
		}
		if len(name) > len(suffix) && strings.HasSuffix(name, suffix) && strings.HasPrefix(suffix, ".") {
			return host
		}
		return ""
	}
	if !strings.HasPrefix(full, scope) {
		return ""
	}
	if len(full) == len(scope) {
		return scope
	}
	switch next := full[len(scope)]; {
	case next == '/':
		return scope
	case (next == ':' || next == '@') && strings.Contains(scope, "/"):
		return scope
	}
	return ""
}

// scopeLength orders scopes by how specific they are: any exact scope is more
// specific than a wildcard, and the longer one than the shorter.
func scopeLength(scope string) int {
	if strings.HasPrefix(scope, "*") {
		return len(scope)
	}
	return 1<<16 + len(scope)
}

// withoutPort cuts the port off a reference's host.
func withoutPort(full string) string {
	host, path, ok := strings.Cut(full, "/")
	if i := strings.LastIndexByte(host, ':'); i > strings.LastIndexByte(host, ']') {
		host = host[:i]
	}
	if !ok {
		return host
	}
	return host + "/" + path
}

// scopeIn returns the first scope that covers a reference, or "".
func scopeIn(scopes []string, full string) string {
	for _, s := range scopes {
		if matchScope(s, full) != "" {
			return s
		}
	}
	return ""
}

func longestConf(entries []confEntry, full string) (*confEntry, string) {
	return longest(entries, func(e *confEntry) string { return e.prefix }, full)
}

func longestMirror(entries []mirrorEntry, full string) (*mirrorEntry, string) {
	return longest(entries, func(e *mirrorEntry) string { return e.scope }, full)
}

// longest finds the entry with the most specific scope, and what it matched.
func longest[E any](entries []E, scope func(*E) string, full string) (*E, string) {
	var best *E
	var matched string
	for i := range entries {
		s := scope(&entries[i])
		m := matchScope(s, full)
		if m != "" && (best == nil || scopeLength(s) > scopeLength(scope(best))) {
			best, matched = &entries[i], m
		}
	}
	return best, matched
}

// cleanScope brings a scope of a configuration into the form matched above.
// It refuses what can never match.
func cleanScope(s string, wildcard bool) (string, error) {
	s = strings.TrimRight(strings.TrimSpace(s), "/")
	if strings.Contains(s, "://") {
		return "", fmt.Errorf("%q: URI schemes are not supported", foreigntext.Truncate(s, 100))
	}
	if rest, ok := strings.CutPrefix(s, "*."); ok {
		if !wildcard {
			return "", fmt.Errorf("%q: a wildcard is not allowed here", foreigntext.Truncate(s, 100))
		}
		if !hostGrammar.MatchString(rest) {
			return "", fmt.Errorf("%q: a wildcard must read *.host", foreigntext.Truncate(s, 100))
		}
		return strings.ToLower(s), nil
	}
	host, path, hasPath := strings.Cut(s, "/")
	if !hostGrammar.MatchString(host) {
		return "", fmt.Errorf("%q: not host[:port][/path]", foreigntext.Truncate(s, 100))
	}
	host = reference.CanonicalHost(host)
	if !hasPath {
		return host, nil
	}
	if !pathGrammar.MatchString(repositoryOf("/" + path)[1:]) {
		return "", fmt.Errorf("%q: not host[:port][/path]", foreigntext.Truncate(s, 100))
	}
	return host + "/" + path, nil
}
