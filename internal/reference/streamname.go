package reference

import "strings"

// JoinStreamTag returns the name of an ImageStreamTag or ImageTag: "stream:tag".
func JoinStreamTag(stream, tag string) string { return stream + ":" + tag }

// JoinStreamImage returns the name of an ImageStreamImage: "stream@id".
func JoinStreamImage(stream, id string) string { return stream + "@" + id }

// SplitStreamTag splits the name of an ImageStreamTag or ImageTag. It must have
// exactly one colon, two non-empty halves and no "@"; the error is a *SyntaxError.
func SplitStreamTag(name string) (stream, tag string, err error) {
	stream, tag, found := strings.Cut(name, ":")
	if !found || stream == "" || tag == "" || strings.ContainsAny(tag, ":@") || strings.Contains(stream, "@") {
		return "", "", &SyntaxError{Form: "image stream tag name", Text: name, Reason: "it must be STREAM:TAG"}
	}
	return stream, tag, nil
}

// SplitStreamImage splits the name of an ImageStreamImage. It must have exactly
// one "@" and two non-empty halves; the error is a *SyntaxError.
func SplitStreamImage(name string) (stream, id string, err error) {
	stream, id, found := strings.Cut(name, "@")
	if !found || stream == "" || id == "" || strings.Contains(id, "@") {
		return "", "", &SyntaxError{Form: "image stream image name", Text: name, Reason: "it must be STREAM@ID"}
	}
	return stream, id, nil
}

// ParseTagFrom parses the from.name of a tag that refers to an ImageStreamTag:
// "tag" of the same stream (stream is ""), or "stream:tag". The error is a
// *SyntaxError.
func ParseTagFrom(name string) (stream, tag string, err error) {
	return parseFrom(name, ":", "image stream tag reference", "it must be TAG or STREAM:TAG")
}

// ParseImageFrom parses the from.name of a tag that refers to an
// ImageStreamImage: "id" of the same stream (stream is ""), or "stream@id". The
// id may be shortened, see MatchesImage. The error is a *SyntaxError.
func ParseImageFrom(name string) (stream, id string, err error) {
	return parseFrom(name, "@", "image stream image reference", "it must be ID or STREAM@ID")
}

func parseFrom(name, separator, form, reason string) (stream, part string, err error) {
	stream, part, found := strings.Cut(name, separator)
	if !found {
		stream, part = "", name
	}
	if part == "" || (found && stream == "") || strings.Contains(part, separator) {
		return "", "", &SyntaxError{Form: form, Text: name, Reason: reason}
	}
	return stream, part, nil
}

// MatchesImage reports whether id is a prefix of the image's name or of the part
// after its algorithm: both "sha256:ab" and "ab" match "sha256:abcd…". An empty id
// matches nothing.
func MatchesImage(image, id string) bool {
	if id == "" {
		return false
	}
	if strings.HasPrefix(image, id) {
		return true
	}
	_, encoded, found := strings.Cut(image, ":")
	return found && strings.HasPrefix(encoded, id)
}
