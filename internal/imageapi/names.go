package imageapi

import (
	"fmt"
	"strings"
)

// SplitSignatureName splits the name of an ImageSignature, image@signature, at its only "@".
// Neither half may be empty.
func SplitSignatureName(name string) (image, signature string, err error) {
	image, signature, found := strings.Cut(name, "@")
	if !found || image == "" || signature == "" || strings.Contains(signature, "@") {
		return "", "", fmt.Errorf("signature name %q is not of the form <image>@<signature>", name)
	}
	return image, signature, nil
}
