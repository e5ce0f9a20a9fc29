package manifest

import "bytes"

// MaxDepth bounds the nesting of manifests and of configurations. Real ones need about six levels.
const MaxDepth = 64

// TooDeep reports whether JSON is nested more than MaxDepth levels deep. It reads text that is not
// JSON, too, so that it can be asked before anything recursive reads the text.
func TooDeep(content []byte) bool {
	depth, inString := 0, false
	for i := 0; i < len(content); i++ {
		switch c := content[i]; {
		case inString && c == '\\':
			i++
		case c == '"':
			inString = !inString
		case inString:
		case c == '{' || c == '[':
			if depth++; depth > MaxDepth {
				return true
			}
		case c == '}' || c == ']':
			depth--
		}
	}
	return false
}

// A part takes 24 times the memory of the two bytes of an empty object. The digest alone of a real
// one has 71 bytes, and with its platform and annotations it is three objects.
const (
	someObjects    = 1000
	bytesPerObject = 32
)

// crowded reports whether JSON has more objects than the parts of a manifest of that size can be.
// Like TooDeep it reads any text.
func crowded(content []byte) bool {
	most := max(someObjects, len(content)/bytesPerObject)
	return bytes.Count(content, []byte{'{'}) > most && objects(content) > most
}

// objects counts the objects in JSON, without the braces that texts have.
func objects(content []byte) (n int) {
	inString := false
	for i := 0; i < len(content); i++ {
		switch c := content[i]; {
		case inString && c == '\\':
			i++
		case c == '"':
			inString = !inString
		case c == '{' && !inString:
			n++
		}
	}
	return n
}
