package dockerimage

import (
	"bytes"
	"encoding/json"
	"strings"

	imagev1 "github.com/openshift/api/image/v1"
)

// MetadataID returns the Id of dockerImageMetadata (for images with a configuration blob its
// digest), or "" if the document has none. It parses only up to that key, which comes early in the
// stored form, so that listing hundreds of images is cheap.
func MetadataID(img *imagev1.Image) string {
	document := json.NewDecoder(bytes.NewReader(img.DockerImageMetadata.Raw))
	if open, err := document.Token(); err != nil || open != json.Delim('{') {
		return ""
	}
	for document.More() {
		key, err := document.Token()
		if err != nil {
			return ""
		}
		name, _ := key.(string)
		if strings.EqualFold(name, "Id") { // pre012 has "id"
			return textOrNone(document)
		}
		var skipped json.RawMessage
		if document.Decode(&skipped) != nil {
			return ""
		}
	}
	return ""
}

func textOrNone(document *json.Decoder) string {
	var text string
	if document.Decode(&text) != nil {
		return ""
	}
	return text
}
