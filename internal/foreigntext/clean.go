package foreigntext

import (
	"regexp"
	"strings"
	"unicode"
)

// looked is how many times as much text as is wanted is looked at: blanks and URLs are removed
// before the text is cut.
const looked = 8

var (
	queryInURL    = regexp.MustCompile(`([A-Za-z][A-Za-z0-9+.-]*://[^\s"'?#]*)[?#][^\s"']*`)
	userinfoInURL = regexp.MustCompile(`([A-Za-z][A-Za-z0-9+.-]*://)[^\s"'/@]*@`)
	authorization = regexp.MustCompile(`(?i)\b(basic|bearer)\s+[A-Za-z0-9+/._~=-]{8,}`)
)

// Clean returns s as one line of printable UTF-8 of at most n bytes and an ellipsis, with URLs
// without user names and queries, and without the values of authorization headers.
func Clean(s string, n int) string {
	s = strings.Map(func(r rune) rune {
		if r == unicode.ReplacementChar || !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, Truncate(s, looked*n))
	s = strings.Join(strings.Fields(s), " ")
	s = userinfoInURL.ReplaceAllString(s, "$1")
	s = queryInURL.ReplaceAllString(s, "$1")
	s = authorization.ReplaceAllString(s, "$1 [redacted]")
	return Truncate(s, n)
}
