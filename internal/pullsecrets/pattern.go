package pullsecrets

import (
	"errors"
	"path"
	"strings"
)

// pattern is the key of a credential: host[:port][/path], where each
// dot-separated part of the host may be a glob.
type pattern struct {
	key   string // normalised: what it is ordered by
	parts []string
	port  string
	path  string // without the leading slash; "" for the whole registry
}

const maxPattern = 1 << 10

// parsePattern reads a key as people write them: with or without a scheme,
// which does not matter, and with the API version that older clients put
// behind the host.
func parsePattern(s string) (pattern, error) {
	if len(s) > maxPattern {
		return pattern{}, errors.New("is too long")
	}
	if _, rest, ok := strings.Cut(s, "://"); ok {
		s = rest
	}
	s, _, _ = strings.Cut(s, "?")
	s, _, _ = strings.Cut(s, "#")
	host, below, _ := strings.Cut(s, "/")
	for _, version := range []string{"v1", "v2"} {
		if below == version {
			below = ""
		}
		below = strings.TrimPrefix(below, version+"/")
	}
	host = strings.ToLower(host)
	if host == "" || strings.ContainsAny(host, "@ \t\r\n") || strings.ContainsAny(below, "\r\n") {
		return pattern{}, errors.New("is malformed")
	}
	p := pattern{key: host, path: below}
	if below != "" {
		p.key += "/" + below
	}
	p.parts, p.port = splitHost(host)
	for _, part := range p.parts {
		if _, err := path.Match(part, ""); err != nil && !strings.Contains(part, ":") {
			return pattern{}, errors.New("has a malformed glob")
		}
	}
	return p, nil
}

// matches reports whether the pattern covers a repository: as many parts, each
// matching; the same port; and a path that begins with the pattern's, even in
// the middle of a component (so host/pr covers host/priv/a).
func (p pattern) matches(host, repository string) bool {
	parts, port := splitHost(strings.ToLower(host))
	if port != p.port || len(parts) != len(p.parts) || !strings.HasPrefix(repository, p.path) {
		return false
	}
	for i, glob := range p.parts {
		if glob == parts[i] {
			continue
		}
		if ok, err := path.Match(glob, parts[i]); err != nil || !ok {
			return false
		}
	}
	return true
}

// splitHost splits host[:port] into the host's dot-separated parts and the
// port; a bracketed IPv6 address is one part.
func splitHost(host string) (parts []string, port string) {
	if i := strings.LastIndexByte(host, ':'); i > strings.LastIndexByte(host, ']') {
		host, port = host[:i], host[i+1:]
	}
	if strings.HasPrefix(host, "[") && strings.HasSuffix(host, "]") && strings.Contains(host, ":") {
		return []string{host}, port
	}
	return strings.Split(host, "."), port
}
