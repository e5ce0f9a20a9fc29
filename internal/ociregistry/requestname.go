package ociregistry

import (
	"crypto/rand"
	"encoding/hex"
	"strconv"
	"sync/atomic"
)

// requestNames creates request IDs, which relate an error response to the log. An ID is created
// only for requests that need one.
type requestNames struct {
	prefix string
	last   atomic.Uint64
}

func newRequestNames() *requestNames {
	var process [5]byte
	_, _ = rand.Read(process[:]) // it never fails
	return &requestNames{prefix: hex.EncodeToString(process[:]) + "-"}
}

func (n *requestNames) next() string { return n.prefix + strconv.FormatUint(n.last.Add(1), 36) }

// requestName returns the ID of this request.
func (x *exchange) requestName() string {
	if x.name == "" {
		x.name = x.requests.next()
	}
	return x.name
}
