package dockerimage

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"

	digest "github.com/opencontainers/go-digest"
)

// CanonicalDigest is the sha256 digest that a registry serves manifest bytes of a media type
// under. For schema 1 (and "", which old clients send for it) that is the digest of the signed
// payload, without the signatures. Lists, foreign types, and bytes that are not of the type have
// no digest here.
func CanonicalDigest(manifest []byte, mediaType string) (digest.Digest, error) {
	parsed, err := ParseManifest(manifest)
	if err != nil {
		return "", err
	}
	switch {
	case mediaType == "" || IsSchema1(mediaType):
		if parsed.SchemaVersion != 1 {
			return "", fmt.Errorf("manifest has schemaVersion %d, not 1", parsed.SchemaVersion)
		}
		payload, err := signedPayload(manifest)
		if err != nil {
			return "", err
		}
		return digest.FromBytes(payload), nil
	case IsImageManifest(mediaType):
		if parsed.SchemaVersion != 2 || len(parsed.Manifests) > 0 || parsed.ConfigDigest == "" {
			return "", fmt.Errorf("manifest is not of type %s", mediaType)
		}
		if parsed.MediaType != "" && parsed.MediaType != mediaType {
			return "", fmt.Errorf("manifest declares type %s, not %s", parsed.MediaType, mediaType)
		}
		return digest.FromBytes(manifest), nil
	}
	return "", fmt.Errorf("no digest is known for manifests of type %s", mediaType)
}

// signedPayload cuts the signatures out of a signed schema 1 manifest. Each signature protects a
// note of where the payload was cut open to put them in: the payload is the first formatLength
// bytes, followed by formatTail. All notes must agree. Signatures are not verified; the digest
// of the payload says what was signed.
func signedPayload(manifest []byte) ([]byte, error) {
	var signed struct {
		Signatures []struct {
			Protected string `json:"protected"`
		} `json:"signatures"`
	}
	if err := json.Unmarshal(manifest, &signed); err != nil {
		return nil, fmt.Errorf("reading signatures of manifest: %w", err)
	}
	if len(signed.Signatures) == 0 {
		return nil, errors.New("manifest is not signed")
	}
	var cut protectedNote
	for i, signature := range signed.Signatures {
		note, err := readNote(signature.Protected)
		if err != nil {
			return nil, fmt.Errorf("reading signatures[%d] of manifest: %w", i, err)
		}
		if i > 0 && note != cut {
			return nil, errors.New("signatures of manifest protect different payloads")
		}
		cut = note
	}
	if cut.length < 0 || cut.length > len(manifest) {
		return nil, fmt.Errorf("signature of manifest protects %d bytes of %d", cut.length, len(manifest))
	}
	return append(append([]byte{}, manifest[:cut.length]...), cut.tail...), nil
}

type protectedNote struct {
	length int
	tail   string
}

func readNote(protected string) (protectedNote, error) {
	raw, err := base64.RawURLEncoding.DecodeString(protected)
	if err != nil {
		return protectedNote{}, fmt.Errorf("protected header: %w", err)
	}
	var note struct {
		FormatLength int    `json:"formatLength"`
		FormatTail   string `json:"formatTail"`
	}
	if err := json.Unmarshal(raw, &note); err != nil {
		return protectedNote{}, fmt.Errorf("protected header: %w", err)
	}
	tail, err := base64.RawURLEncoding.DecodeString(note.FormatTail)
	if err != nil {
		return protectedNote{}, fmt.Errorf("formatTail: %w", err)
	}
	return protectedNote{length: note.FormatLength, tail: string(tail)}, nil
}
