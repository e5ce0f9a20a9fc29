package reference

import "strings"

// The grammar is scanned by hand rather than by regular expressions: every spec
// tag and every history item of a stream passes through it on every write.

const (
	maxNameLength = 255 // registry, namespace and name with their slashes
	maxTagLength  = 128
)

// digestLengths has the hexadecimal length of every digest algorithm known.
var digestLengths = map[string]int{
	"sha256": 64,
	"sha384": 96,
	"sha512": 128,
}

// ValidTag reports whether tag matches the tag grammar of the OCI distribution
// specification: a word character and up to 127 of [A-Za-z0-9_.-].
func ValidTag(tag string) bool {
	if tag == "" || len(tag) > maxTagLength {
		return false
	}
	for i := 0; i < len(tag); i++ {
		c := tag[i]
		word := isLowerAlphanumeric(c) || isUpper(c) || c == '_'
		if !word && (i == 0 || (c != '.' && c != '-')) {
			return false
		}
	}
	return true
}

// ValidDigest reports whether id is a digest of a known algorithm with the algorithm's number
// of lower-case hexadecimal characters.
func ValidDigest(id string) bool {
	algorithm, encoded, found := strings.Cut(id, ":")
	if !found || len(encoded) != digestLengths[algorithm] || encoded == "" {
		return false
	}
	for i := 0; i < len(encoded); i++ {
		if c := encoded[i]; !isDigit(c) && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

// validComponent reports whether c is one component of a repository path:
// lower-case alphanumerics separated by ".", "_", "__" or any run of "-".
func validComponent(c string) bool {
	if c == "" || !isLowerAlphanumeric(c[0]) || !isLowerAlphanumeric(c[len(c)-1]) {
		return false
	}
	for i := 0; i < len(c); {
		if isLowerAlphanumeric(c[i]) {
			i++
			continue
		}
		end := i
		for end < len(c) && c[end] == c[i] {
			end++
		}
		if !validSeparator(c[i], end-i) || !isLowerAlphanumeric(c[end]) {
			return false
		}
		i = end
	}
	return true
}

func validSeparator(c byte, run int) bool {
	switch c {
	case '.':
		return run == 1
	case '_':
		return run <= 2
	case '-':
		return true
	}
	return false
}

// looksLikeRegistry reports whether the first of several path components names
// a registry. Only the form counts; validRegistry checks the content.
func looksLikeRegistry(component string) bool {
	return component == "localhost" || strings.ContainsAny(component, ".:")
}

// validRegistry reports whether r is "host" or "host:port". Host names of DNS
// may be in upper case. A host that is not a DNS name but a valid path
// component (with an underscore) is accepted without a port: OpenShift accepts
// such references, so clusters have them stored.
func validRegistry(r string) bool {
	host, port, hasPort := strings.Cut(r, ":")
	if hasPort {
		return isNumber(port) && validHost(host)
	}
	return validHost(r) || validComponent(r)
}

func validHost(host string) bool {
	for label := range strings.SplitSeq(host, ".") {
		if label == "" || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		for i := 0; i < len(label); i++ {
			if c := label[i]; !isLowerAlphanumeric(c) && !isUpper(c) && c != '-' {
				return false
			}
		}
	}
	return true
}

func isNumber(s string) bool {
	for i := 0; i < len(s); i++ {
		if !isDigit(s[i]) {
			return false
		}
	}
	return s != ""
}

func isDigit(c byte) bool             { return c >= '0' && c <= '9' }
func isUpper(c byte) bool             { return c >= 'A' && c <= 'Z' }
func isLowerAlphanumeric(c byte) bool { return isDigit(c) || (c >= 'a' && c <= 'z') }
