package tokens

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

const (
	keyBytes   = 32 // as long as what HMAC-SHA256 makes
	keyIDBytes = 8
)

// key signs and verifies tokens.
type key struct {
	// ID stands in the header of a token.
	ID string `json:"id"`
	// Created is when the key was made, and the one before it retired.
	Created time.Time `json:"created"`
	Secret  []byte    `json:"secret"`
}

// ring has the keys in use, the newest first: that one signs, the others verify what they
// signed.
type ring struct {
	Keys []key `json:"keys"`
}

// newKey makes a key of random bytes.
func newKey(now time.Time) key {
	secret, id := make([]byte, keyBytes), make([]byte, keyIDBytes)
	rand.Read(secret) // it never fails
	rand.Read(id)
	return key{ID: hex.EncodeToString(id), Created: now.UTC().Truncate(time.Second), Secret: secret}
}

// parseRing reads what encode wrote. Its errors tell nothing of the content.
func parseRing(data []byte) (ring, error) {
	var r ring
	if json.Unmarshal(data, &r) != nil {
		return ring{}, errors.New("it is not a valid key document")
	}
	if len(r.Keys) == 0 {
		return ring{}, errors.New("it has no key")
	}
	seen := map[string]bool{}
	for i, k := range r.Keys {
		if k.ID == "" || seen[k.ID] || len(k.Secret) < keyBytes {
			return ring{}, fmt.Errorf("its key number %d has no unique name or fewer than %d bytes", i+1, keyBytes)
		}
		seen[k.ID] = true
	}
	return r, nil
}

// encode writes the keys as they are kept.
func (r ring) encode() ([]byte, error) { return json.Marshal(r) }

// find is the key of a name.
func (r ring) find(id string) (key, bool) {
	for _, k := range r.Keys {
		if k.ID == id {
			return k, true
		}
	}
	return key{}, false
}

// due reports whether the key that signs has been in use for that long.
func (r ring) due(age time.Duration, now time.Time) bool {
	return len(r.Keys) > 0 && now.Sub(r.Keys[0].Created) >= age
}

// rotated has a new key to sign with. Those before it stay as long as a token that they
// signed can be valid.
func (r ring) rotated(now time.Time) ring {
	next := ring{Keys: []key{newKey(now)}}
	retired := next.Keys[0].Created
	for _, k := range r.Keys {
		if now.Sub(retired) > maxLifetime+leeway {
			break
		}
		next.Keys = append(next.Keys, k)
		retired = k.Created
	}
	return next
}
