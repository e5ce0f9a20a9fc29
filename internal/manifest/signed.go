package manifest

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// SignedPayload returns what the digest of a signed schema 1 manifest is of: the document as it
// was before signatures were put in. content is the document that m was read from.
//
// The protected header of each signature has the number of bytes that come from the front of the
// document, and the text that follows them. All headers must agree. Signatures are not verified;
// the digest of the payload is what was signed.
func (m *Manifest) SignedPayload(content []byte) ([]byte, error) {
	if len(m.Signatures) == 0 {
		return nil, errors.New("reading signatures of manifest: it is not signed")
	}
	var cut protectedHeader
	for i, signature := range m.Signatures {
		header, err := readProtected(signature.Protected)
		if err != nil {
			return nil, fmt.Errorf("reading signatures[%d] of manifest: %w", i, err)
		}
		if i > 0 && header != cut {
			return nil, errors.New("reading signatures of manifest: they protect different payloads")
		}
		cut = header
	}
	if cut.length <= 0 || cut.length > len(content) {
		return nil, fmt.Errorf("reading signatures of manifest: they protect %d bytes of %d", cut.length, len(content))
	}
	return append(append(make([]byte, 0, cut.length+len(cut.tail)), content[:cut.length]...), cut.tail...), nil
}

// protectedHeader is where a document was cut to put signatures in.
type protectedHeader struct {
	length int
	tail   string
}

func readProtected(protected string) (protectedHeader, error) {
	raw, err := decodeSegment(protected)
	if err != nil {
		return protectedHeader{}, fmt.Errorf("protected header: %w", err)
	}
	var header struct {
		FormatLength int    `json:"formatLength"`
		FormatTail   string `json:"formatTail"`
	}
	if err := json.Unmarshal(raw, &header); err != nil {
		return protectedHeader{}, fmt.Errorf("protected header: %w", err)
	}
	tail, err := decodeSegment(header.FormatTail)
	if err != nil {
		return protectedHeader{}, fmt.Errorf("formatTail: %w", err)
	}
	return protectedHeader{length: header.FormatLength, tail: string(tail)}, nil
}

// decodeSegment decodes base64url. JWS has it without padding, some signers padded it.
func decodeSegment(s string) ([]byte, error) {
	return base64.RawURLEncoding.DecodeString(strings.TrimRight(s, "="))
}
