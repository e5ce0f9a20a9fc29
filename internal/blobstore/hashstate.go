package blobstore

import (
	"bytes"
	"crypto/sha256"
	"crypto/sha512"
	"encoding"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"

	digest "github.com/opencontainers/go-digest"
)

// The file hashstate of an upload holds the state of the hash of its data:
//
//	offset  size  what
//	0       8     "weirhsh1"
//	8       8     how many bytes of data are hashed, big-endian
//	16      1     length of the algorithm's name
//	17      n     the algorithm's name
//	17+n    m     the state, as its encoding.BinaryMarshaler writes it
//	17+n+m  32    sha256 of all before
//
// A state that cannot be used, whatever befell it, costs reading the data again and
// nothing else.
const hashStateMagic = "weirhsh1"

// maxHashStateBytes is far above the about 230 bytes of a sha512 state.
const maxHashStateBytes = 4096

var errHashState = errors.New("no usable hash state")

// runningHash is the hash of the first size bytes of something.
type runningHash struct {
	algorithm digest.Algorithm
	hash      hash.Hash
	size      int64
}

// newRunningHash begins a hash with an algorithm that checkAlgorithm lets pass.
func newRunningHash(a digest.Algorithm) *runningHash {
	h := &runningHash{algorithm: a, hash: sha256.New()}
	if a == digest.SHA512 {
		h.hash = sha512.New()
	}
	return h
}

// Write never fails.
func (h *runningHash) Write(p []byte) (int, error) {
	h.size += int64(len(p))
	return h.hash.Write(p)
}

func (h *runningHash) digest() digest.Digest { return digest.NewDigest(h.algorithm, h.hash) }

// encode is the state as a file.
func (h *runningHash) encode() ([]byte, error) {
	m, ok := h.hash.(encoding.BinaryMarshaler)
	if !ok {
		return nil, fmt.Errorf("the hash %s cannot save its state", h.algorithm)
	}
	state, err := m.MarshalBinary()
	if err != nil {
		return nil, fmt.Errorf("writing the state of the hash %s: %w", h.algorithm, err)
	}
	content := append(make([]byte, 0, 512), hashStateMagic...)
	content = binary.BigEndian.AppendUint64(content, uint64(h.size))
	content = append(content, byte(len(h.algorithm)))
	content = append(content, h.algorithm...)
	content = append(content, state...)
	sum := sha256.Sum256(content)
	return append(content, sum[:]...), nil
}

// decodeHashState reads what encode wrote.
func decodeHashState(content []byte) (*runningHash, error) {
	const header = len(hashStateMagic) + 8 + 1
	if len(content) < header+sha256.Size || len(content) > maxHashStateBytes {
		return nil, fmt.Errorf("%w: %d bytes", errHashState, len(content))
	}
	content, sum := content[:len(content)-sha256.Size], content[len(content)-sha256.Size:]
	if want := sha256.Sum256(content); !bytes.Equal(sum, want[:]) {
		return nil, fmt.Errorf("%w: its checksum is wrong", errHashState)
	}
	size, name := int64(binary.BigEndian.Uint64(content[len(hashStateMagic):])), int(content[header-1])
	if string(content[:len(hashStateMagic)]) != hashStateMagic || size < 0 || len(content) < header+name {
		return nil, fmt.Errorf("%w: it has another version", errHashState)
	}
	a := digest.Algorithm(content[header : header+name])
	if err := checkAlgorithm(a); err != nil {
		return nil, fmt.Errorf("%w: %w", errHashState, err)
	}
	h := newRunningHash(a)
	u, ok := h.hash.(encoding.BinaryUnmarshaler)
	if !ok {
		return nil, fmt.Errorf("%w: the hash %s cannot restore a state", errHashState, a)
	}
	if err := u.UnmarshalBinary(content[header+name:]); err != nil {
		return nil, fmt.Errorf("%w: %w", errHashState, err)
	}
	h.size = size
	return h, nil
}
