package blobstore

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"testing"

	digest "github.com/opencontainers/go-digest"
)

func hashOf(t testing.TB, a digest.Algorithm, content string) *runningHash {
	t.Helper()
	h := newRunningHash(a)
	if _, err := h.Write([]byte(content)); err != nil {
		t.Fatal(err)
	}
	return h
}

func TestHashState(t *testing.T) {
	for _, a := range []digest.Algorithm{digest.SHA256, digest.SHA512} {
		for _, content := range []string{"", "x", string(bytes.Repeat([]byte("0123456789"), 100))} {
			h := hashOf(t, a, content)
			state, err := h.encode()
			if err != nil {
				t.Fatal(err)
			}
			again, err := decodeHashState(state)
			if err != nil {
				t.Fatal(err)
			}
			if again.size != int64(len(content)) || again.algorithm != a {
				t.Errorf("%s of %d bytes became %s of %d", a, len(content), again.algorithm, again.size)
			}
			for _, h := range []*runningHash{h, again} {
				if h.Write([]byte("more")); h.digest() != a.FromString(content+"more") {
					t.Errorf("%s of %d bytes goes on as another", a, len(content))
				}
			}
			// Whatever is cut off or changed makes it unusable, not another state.
			for i := range state {
				changed := bytes.Clone(state)
				changed[i] ^= 1
				for _, damaged := range [][]byte{state[:i], changed} {
					if _, err := decodeHashState(damaged); !errors.Is(err, errHashState) {
						t.Fatalf("damaged at %d: %v", i, err)
					}
				}
			}
		}
	}
}

func FuzzHashState(f *testing.F) {
	for _, a := range []digest.Algorithm{digest.SHA256, digest.SHA512} {
		state, err := hashOf(f, a, "x").encode()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(state)
		f.Add(state[:len(state)-sha256.Size])
	}
	f.Add([]byte(hashStateMagic))
	f.Add([]byte(nil))
	f.Fuzz(func(t *testing.T, content []byte) {
		sum := sha256.Sum256(content)
		// With the right checksum too, so that what is behind it is reached.
		for _, state := range [][]byte{content, append(bytes.Clone(content), sum[:]...)} {
			h, err := decodeHashState(state)
			if err != nil {
				if !errors.Is(err, errHashState) {
					t.Errorf("%v is no errHashState", err)
				}
				continue
			}
			if checkAlgorithm(h.algorithm) != nil || h.size < 0 || checkDigest(h.digest()) != nil {
				t.Errorf("%q became %s of %d bytes", state, h.algorithm, h.size)
			}
			written, err := h.encode()
			if err != nil {
				t.Fatal(err)
			}
			// Not byte for byte: the hash does not write what lay behind its data.
			again, err := decodeHashState(written)
			if err != nil || again.size != h.size || again.digest() != h.digest() {
				t.Errorf("%q is written as %q, which is another state: %v", state, written, err)
			}
		}
	})
}
