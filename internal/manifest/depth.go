package manifest

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
