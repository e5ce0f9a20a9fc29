package tagview

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
)

// position is where a page ended: a place in the list of streams, and one inside
// the stream that was not listed to its end.
type position struct {
	// Continue is the store's own token for the streams to go on with; without one
	// they are listed from the first, as of ResourceVersion.
	Continue        string `json:"continue,omitempty"`
	ResourceVersion string `json:"rv,omitempty"`
	// Stream is the key of the stream of the last tag that was listed, and Tag is
	// that tag. Of the streams that are listed again, those before it are done. Both
	// are empty between two streams.
	Stream string `json:"stream,omitempty"`
	Tag    string `json:"tag,omitempty"`
}

// errNowhere is about tokens that are well-formed and say nothing.
var errNowhere = errors.New("it has no position in the list")

// parsePosition reads a continue token. Its error says why it is not one of ours.
func parsePosition(token string) (position, error) {
	var p position
	document, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil {
		return p, fmt.Errorf("continue token is not valid: %w", err)
	}
	if err := json.Unmarshal(document, &p); err != nil {
		return p, fmt.Errorf("continue token is not valid: %w", err)
	}
	if p.Continue == "" && (p.ResourceVersion == "" || p.ResourceVersion == "0" || p.Stream == "") {
		return p, fmt.Errorf("continue token is not valid: %w", errNowhere)
	}
	return p, nil
}

// token is the position as clients hand it back.
func (p position) token() string {
	document, err := json.Marshal(p)
	if err != nil {
		panic(err) // strings cannot fail to marshal
	}
	return base64.RawURLEncoding.EncodeToString(document)
}

// passed reports whether a tag of the stream with this key came before the position.
// A key is "namespace/name": the store lists streams in the order of these, which
// is not the order of namespaces and then of names.
func (p position) passed(key, tag string) bool {
	return key < p.Stream || (key == p.Stream && tag <= p.Tag)
}
