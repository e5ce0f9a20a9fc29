package ociregistry

import "context"

// Origin is the request of a client that the registry writes for.
type Origin struct {
	// User is the name of its user.
	User string
	// Client is the address it came from, without a port.
	Client string
	// Request is its name in the log and the access log.
	Request string
}

type originKey struct{}

// WithOrigin is a context for what the registry does for a client.
func WithOrigin(ctx context.Context, o Origin) context.Context {
	return context.WithValue(ctx, originKey{}, o)
}

// OriginOf is the request that a context belongs to; ok is false for what the registry does
// by itself.
func OriginOf(ctx context.Context) (o Origin, ok bool) {
	o, ok = ctx.Value(originKey{}).(Origin)
	return o, ok
}
