package ociregistry

import "context"

// Origin identifies the client request that a write of the registry belongs to.
type Origin struct {
	// User is the name of its user.
	User string
	// Client is the address it came from, without a port.
	Client string
	// Request is its ID in the log and the access log.
	Request string
}

type originKey struct{}

// withOrigin returns a context with an Origin.
func withOrigin(ctx context.Context, o Origin) context.Context {
	return context.WithValue(ctx, originKey{}, o)
}

// OriginOf returns the Origin of a context; ok is false for background work of the
// registry.
func OriginOf(ctx context.Context) (o Origin, ok bool) {
	o, ok = ctx.Value(originKey{}).(Origin)
	return o, ok
}
