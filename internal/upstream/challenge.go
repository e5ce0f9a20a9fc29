package upstream

import (
	"maps"
	"net/http"
	"slices"
	"strings"
)

const (
	maxChallengeBytes = 8 << 10
	maxChallenges     = 16
	maxParameters     = 32
)

// challenge is one way a registry offers to log in (RFC 9110, 11.3).
type challenge struct {
	scheme string // lower case: "basic", "bearer", others
	params map[string]string
}

// key identifies a challenge by the token request that it leads to.
func (c challenge) key() string {
	return key(c.scheme, c.params["realm"], c.params["service"], c.params["scope"])
}

// sameRealm reports whether two challenges are answered in the same place.
func (c challenge) sameRealm(other challenge) bool {
	return c.scheme == other.scheme && c.params["realm"] == other.params["realm"] && c.params["service"] == other.params["service"]
}

// scopes are the scopes that the challenge names, each once. An excessive list counts as none.
func (c challenge) scopes() []string {
	if len(c.params["scope"]) > maxScopeBytes {
		return nil
	}
	var scopes []string
	for _, scope := range strings.Fields(c.params["scope"]) {
		if !slices.Contains(scopes, scope) {
			scopes = append(scopes, scope)
		}
	}
	return scopes
}

// withScopes is the challenge with other scopes.
func (c challenge) withScopes(scopes []string) challenge {
	c.params = maps.Clone(c.params)
	c.params["scope"] = strings.Join(scopes, " ")
	return c
}

// pickChallenge is the challenge to answer: bearer before basic, because a
// registry that offers both expects a token; false when there is none of these.
func pickChallenge(header http.Header) (challenge, bool) {
	var basic *challenge
	for _, c := range parseChallenges(header.Values("WWW-Authenticate")) {
		switch c.scheme {
		case "bearer":
			if c.params["realm"] != "" {
				return c, true
			}
		case "basic":
			if basic == nil {
				basic = &c
			}
		}
	}
	if basic == nil {
		return challenge{}, false
	}
	return *basic, true
}

// parseChallenges reads WWW-Authenticate headers. It never fails: what it
// cannot read it skips, and what is excessive it leaves out.
func parseChallenges(values []string) []challenge {
	var all []challenge
	for _, v := range values {
		if len(v) > maxChallengeBytes {
			continue
		}
		all = append(all, challengesIn(v)...)
		if len(all) >= maxChallenges {
			return all[:maxChallenges]
		}
	}
	return all
}

// challengesIn reads one header, in which commas separate both parameters and
// challenges: a word followed by "=" is a parameter, any other begins a challenge.
func challengesIn(v string) []challenge {
	var all []challenge
	for {
		v = strings.TrimLeft(v, " \t,")
		if v == "" {
			return all
		}
		word, rest := takeToken(v)
		if word == "" {
			return all
		}
		value, after, isParam := takeValue(rest)
		switch {
		case !isParam:
			all = append(all, challenge{scheme: strings.ToLower(word), params: map[string]string{}})
			v = skipToken68(rest)
		case len(all) == 0:
			return all
		default:
			v = after
			params := all[len(all)-1].params
			name := strings.ToLower(word)
			if _, dup := params[name]; !dup && len(params) < maxParameters {
				params[name] = value
			}
		}
		if len(all) > maxChallenges {
			return all
		}
	}
}

// takeToken splits a token (RFC 9110, 5.6.2) off the front.
func takeToken(s string) (token, rest string) {
	i := 0
	for i < len(s) && isTokenByte(s[i]) {
		i++
	}
	return s[:i], s[i:]
}

func isTokenByte(c byte) bool {
	switch {
	case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9':
		return true
	}
	return strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0
}

// takeValue reads `= value` or `= "value"`; false when there is no "=".
func takeValue(s string) (value, rest string, ok bool) {
	s = strings.TrimLeft(s, " \t")
	if !strings.HasPrefix(s, "=") {
		return "", s, false
	}
	s = strings.TrimLeft(s[1:], " \t")
	if strings.HasPrefix(s, `"`) {
		value, rest = takeQuoted(s[1:])
		return value, rest, true
	}
	// Values that ought to be quoted are often not: take all up to the comma.
	value, rest, _ = strings.Cut(s, ",")
	return strings.TrimRight(value, " \t"), rest, true
}

// takeQuoted reads up to the closing quote; without one, to the end.
func takeQuoted(s string) (value, rest string) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '"':
			return b.String(), s[i+1:]
		case '\\':
			if i+1 < len(s) {
				i++
				b.WriteByte(s[i])
			}
		default:
			b.WriteByte(s[i])
		}
	}
	return b.String(), ""
}

// skipToken68 passes over credentials-like data after a scheme, as Negotiate has.
func skipToken68(s string) string {
	trimmed := strings.TrimLeft(s, " \t")
	i := 0
	for i < len(trimmed) && (isTokenByte(trimmed[i]) || trimmed[i] == '/') {
		i++
	}
	data := i
	for i < len(trimmed) && trimmed[i] == '=' {
		i++
	}
	end := strings.TrimLeft(trimmed[i:], " \t")
	if data > 0 && (end == "" || end[0] == ',') && (i > data || end == "") {
		return trimmed[i:]
	}
	return s
}
