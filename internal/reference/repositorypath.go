package reference

import (
	"strconv"
	"strings"
)

// A stream's name is stricter than a repository's path: one component, and only single
// separators in it. A path that is such a name is its own stream. Of any other path, what
// streams cannot have is written as a token that stands between two dots:
//
//	/              .x2f.
//	__             .x5f2.
//	---            .x2d3.     a run of two dashes or more, with its length
//	.x2f. itself   .x2e.x2f.  whatever reads like a token and is none
//
// so charts/web--ui is the stream charts.x2f.web.x2d2.ui. No other path leads to it but for
// its own name, which may be used as well.
const (
	tokenSlash       = "x2f"
	tokenUnderscores = "x5f2"
	tokenDashes      = "x2d" // and how many
	tokenLiteral     = "x2e"
)

// StreamName is the name of the stream that a repository's path (what stands below the
// namespace) leads to. Distinct paths lead to distinct streams, except that the name of an
// escaped stream is a path of it too: RepositoryPath(StreamName(p)) is p, unless p is
// itself a name that streams can have, which is returned as it is.
func StreamName(path string) string {
	if validStreamName(path) {
		return path
	}
	return escapePath(path)
}

// RepositoryPath is the path whose stream that is: the one that was escaped into its name,
// or the name itself. StreamName(RepositoryPath(s)) is s for every name s of a stream.
func RepositoryPath(stream string) string {
	if !strings.Contains(stream, ".x") {
		return stream
	}
	// Somebody may have given a stream a name that merely looks escaped; only what
	// escaping would have made is undone.
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

// escapePath writes the labels of a path, which are what stands between its separators,
// with a dot or a token between each two.
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

// separatorAt tells how the separator at the beginning of s is written in a stream's name,
// and how long it is in s: 0 when there is none that divides labels.
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

// unescapePath is the inverse of escapePath for what that made; of other texts it makes
// another text.
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

// separatorOf is what a token stands for, "" when the label is no token for a separator.
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
