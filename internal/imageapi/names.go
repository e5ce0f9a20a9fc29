package imageapi

import (
	"fmt"
	"strings"
)

// SplitSignatureName takes the name of an ImageSignature apart: image@signature, with exactly
// one "@" and neither half empty.
func SplitSignatureName(name string) (image, signature string, err error) {
	image, signature, found := strings.Cut(name, "@")
	if !found || image == "" || signature == "" || strings.Contains(signature, "@") {
		return "", "", fmt.Errorf("signature name %q is not of the form <image>@<signature>", name)
	}
	return image, signature, nil
}

// JoinSignatureName is the inverse of SplitSignatureName.
func JoinSignatureName(image, signature string) string { return image + "@" + signature }
