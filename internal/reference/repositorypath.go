package reference

import (
	"strconv"
	"strings"
)

// The name of a stream is more restricted than the path of a repository: one component, with
// only single separators. A path that is a valid name is its own stream. In any other path,
// a separator that streams cannot have is escaped as a token between two dots:
//
//	/              .x2f.
//	__             .x5f2.
//	---            .x2d3.     a run of two dashes or more, with its length
//	.x2f. itself   .x2e.x2f.  a label that looks like a token
//
// so charts/web--ui is the stream charts.x2f.web.x2d2.ui. The only other path of that stream
// is its own name.
const (
	tokenSlash       = "x2f"
	tokenUnderscores = "x5f2"
	tokenDashes      = "x2d" // and how many
	tokenLiteral     = "x2e"
)

// StreamName returns the stream of a repository's path below the namespace. Distinct paths
// have distinct streams, except that the name of an escaped stream is also a path of it:
// RepositoryPath(StreamName(p)) is p, unless p is itself a valid stream name, which is
// returned unchanged.
func StreamName(path string) string {
	if validStreamName(path) {
		return path
	}
	return escapePath(path)
}

// RepositoryPath returns the path of a stream: the unescaped name, or the name itself.
// StreamName(RepositoryPath(s)) is s for every name s of a stream.
func RepositoryPath(stream string) string {
	if !strings.Contains(stream, ".x") {
		return stream
	}
	// A stream's name may merely look escaped: unescape only if escaping yields the name
	// again.
	path := unescapePath(stream)
	if len(path) > maxNameLength || path == stream || StreamName(path) != stream {
		return stream
	}
	return path
}

// validStreamName reports whether s is lower-case letters and digits joined by single
// dots, dashes and underscores.
func validStreamName(s string) bool {
	letter := false
	for i := 0; i < len(s); i++ {
		was := letter
		letter = isLowerAlphanumeric(s[i])
		if !letter && (!was || (s[i] != '.' && s[i] != '-' && s[i] != '_')) {
			return false
		}
	}
	return letter
}

// escapePath joins the labels of a path, the parts between its separators, with a dot or a
// token between each two.
func escapePath(path string) string {
	var b strings.Builder
	b.Grow(len(path) + 8)
	start := 0
	for i := 0; i <= len(path); {
		separator, length := separatorAt(path[i:])
		if length == 0 && i < len(path) {
			i++
			continue
		}
		// The first label and the last have a dot at one side only and cannot be tokens.
		if label := path[start:i]; start > 0 && i < len(path) && isToken(label) {
			b.WriteString(tokenLiteral + "." + label)
		} else {
			b.WriteString(label)
		}
		if i == len(path) {
			break
		}
		b.WriteString(separator)
		i += length
		start = i
	}
	return b.String()
}

// separatorAt returns the form, in a stream's name, of the separator at the beginning of s, and
// its length in s: 0 if there is no separator.
func separatorAt(s string) (written string, length int) {
	switch {
	case strings.HasPrefix(s, "."):
		return ".", 1
	case strings.HasPrefix(s, "/"):
		return "." + tokenSlash + ".", 1
	case strings.HasPrefix(s, "__"):
		return "." + tokenUnderscores + ".", 2
	case strings.HasPrefix(s, "--"):
		n := len(s) - len(strings.TrimLeft(s, "-"))
		return "." + tokenDashes + strconv.Itoa(n) + ".", n
	}
	return "", 0
}

// unescapePath is the inverse of escapePath for its results. For other texts the result is
// not meaningful.
func unescapePath(stream string) string {
	labels := strings.Split(stream, ".")
	last := len(labels) - 1
	var b strings.Builder
	b.WriteString(labels[0])
	for i := 1; i <= last; i++ {
		separator := "."
		if meaning := separatorOf(labels[i]); meaning != "" && i < last {
			separator = meaning
			i++
		}
		if labels[i] == tokenLiteral && i < last {
			i++
		}
		b.WriteString(separator)
		b.WriteString(labels[i])
	}
	return b.String()
}

// separatorOf returns the separator of a token, "" if the label is not a token of a separator.
func separatorOf(label string) string {
	switch label {
	case tokenSlash:
		return "/"
	case tokenUnderscores:
		return "__"
	}
	digits, found := strings.CutPrefix(label, tokenDashes)
	n, err := strconv.Atoi(digits)
	if !found || err != nil || n < 2 || n > maxNameLength || digits != strconv.Itoa(n) {
		return ""
	}
	return strings.Repeat("-", n)
}

func isToken(label string) bool { return label == tokenLiteral || separatorOf(label) != "" }
