package ociregistry

import (
	"strings"

	digest "github.com/opencontainers/go-digest"

	"weir.dev/weir/internal/reference"
)

// supported reports whether content can be stored under digests of that algorithm: one that
// the OCI image specification registers and Go implements.
func supported(a digest.Algorithm) bool { return a == digest.SHA256 || a == digest.SHA512 }

// parseDigest parses a digest from a path or parameter of a request.
func parseDigest(text string) (digest.Digest, error) {
	algorithm, _, _ := strings.Cut(text, ":")
	if !supported(digest.Algorithm(algorithm)) || !reference.ValidDigest(text) {
		return "", invalidDigest(text)
	}
	return digest.Digest(text), nil
}

func invalidDigest(text string) error {
	if len(text) > 200 {
		text = text[:200] + "…"
	}
	return &Error{
		Code:    CodeDigestInvalid,
		Message: "it is no digest of sha256 or sha512",
		Detail:  map[string]string{"digest": text},
	}
}

func digestUnknown(code Code, what string, d digest.Digest) *Error {
	return &Error{
		Code:    code,
		Message: what + " unknown to the repository",
		Detail:  map[string]string{"digest": d.String()},
	}
}

func blobUnknown(d digest.Digest) *Error { return digestUnknown(CodeBlobUnknown, "blob", d) }
func manifestUnknown(d digest.Digest) *Error {
	return digestUnknown(CodeManifestUnknown, "manifest", d)
}
