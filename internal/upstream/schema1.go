package upstream

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// mediaTypeSignedSchema1 is the type of a schema 1 manifest with signatures.
const mediaTypeSignedSchema1 = "application/vnd.docker.distribution.manifest.v1+prettyjws"

// schema1Payload is what the digest of a signed schema 1 manifest is of: the
// document as it was before signatures were put in. Each signature's protected
// header says how much of the document comes from the front and what follows.
// Signatures themselves are not checked; the digest of the payload is.
func schema1Payload(content []byte) ([]byte, error) {
	var signed struct {
		Signatures []struct {
			Protected string `json:"protected"`
		} `json:"signatures"`
	}
	if err := json.Unmarshal(content, &signed); err != nil {
		return nil, fmt.Errorf("reading signed manifest: %w", err)
	}
	if len(signed.Signatures) == 0 {
		return nil, errors.New("reading signed manifest: no signatures")
	}
	protected, err := decodeSegment(signed.Signatures[0].Protected)
	if err != nil {
		return nil, fmt.Errorf("reading signed manifest: protected header: %w", err)
	}
	var format struct {
		Length int    `json:"formatLength"`
		Tail   string `json:"formatTail"`
	}
	if err := json.Unmarshal(protected, &format); err != nil {
		return nil, fmt.Errorf("reading signed manifest: protected header: %w", err)
	}
	if format.Length <= 0 || format.Length > len(content) {
		return nil, errors.New("reading signed manifest: formatLength is out of range")
	}
	tail, err := decodeSegment(format.Tail)
	if err != nil {
		return nil, fmt.Errorf("reading signed manifest: formatTail: %w", err)
	}
	payload := make([]byte, 0, format.Length+len(tail))
	return append(append(payload, content[:format.Length]...), tail...), nil
}

// decodeSegment decodes base64url without padding, as JWS has it.
func decodeSegment(s string) ([]byte, error) {
	return base64.RawURLEncoding.DecodeString(strings.TrimRight(s, "="))
}
