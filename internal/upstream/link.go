package upstream

import (
	"slices"
	"strings"

	"weir.dev/weir/internal/foreigntext"
)

const (
	maxLinkBytes = 8 << 10
	maxLinks     = 64
)

// link is one link of a Link header.
type link struct {
	target string
	rels   []string // in lower case
	rel    bool     // whether it says what it is
}

// nextPage is the query of the next page that Link headers name, "" when they name none.
// Only the query of a target counts: the next page of a tag list is the same list of the same
// registry, and one behind a proxy often gets its own scheme, host, port or path wrong. What
// cannot be followed is an error, for what is on the pages to come would be missing silently.
func nextPage(values []string) (string, error) {
	var unsaid, next *link
	said := false
	for _, v := range values {
		if len(v) > maxLinkBytes {
			return "", protocol("the tag list names its next page in a header of more than %d bytes", maxLinkBytes)
		}
		for _, l := range linksIn(v) {
			said = said || l.rel
			switch {
			case next == nil && slices.Contains(l.rels, "next"):
				next = &l
			case unsaid == nil && !l.rel:
				unsaid = &l
			}
		}
	}
	if next == nil && !said {
		next = unsaid // what else a tag list would name
	}
	if next == nil {
		return "", nil
	}
	_, query, _ := strings.Cut(next.target, "?")
	query, _, _ = strings.Cut(query, "#")
	if query == "" || !visible(query) {
		return "", protocol("the tag list names a next page that cannot be followed: %q", foreigntext.Clean(next.target, 200))
	}
	return query, nil
}

// linksIn reads a Link header (RFC 8288), also with targets that are not in angle brackets
// or whose bracket is not closed.
func linksIn(v string) []link {
	var links []link
	for len(links) < maxLinks {
		v = strings.TrimLeft(v, " \t,")
		if v == "" {
			return links
		}
		var l link
		var params string
		if rest, ok := strings.CutPrefix(v, "<"); ok && strings.Contains(rest, ">") {
			l.target, params, _ = strings.Cut(rest, ">")
			params, v = cutUnquoted(params, ',')
		} else {
			l.target, params, _ = strings.Cut(strings.TrimPrefix(v, "<"), ";")
			params, v = cutUnquoted(params, ',')
		}
		l.target = strings.TrimSpace(l.target)
		l.rels, l.rel = relsOf(params)
		links = append(links, l)
	}
	return links
}

// cutUnquoted cuts a text around the first separator that is not inside quotes.
func cutUnquoted(s string, separator byte) (before, after string) {
	quoted := false
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '\\' && quoted:
			i++
		case s[i] == '"':
			quoted = !quoted
		case s[i] == separator && !quoted:
			return s[:i], s[i+1:]
		}
	}
	return s, ""
}

// relsOf are the words of the parameter rel; false when there is none.
func relsOf(params string) ([]string, bool) {
	for params != "" {
		var p string
		p, params = cutUnquoted(params, ';')
		name, value, _ := strings.Cut(p, "=")
		if strings.EqualFold(strings.TrimSpace(name), "rel") {
			return strings.Fields(strings.ToLower(strings.Trim(strings.TrimSpace(value), `"'`))), true
		}
	}
	return nil, false
}
