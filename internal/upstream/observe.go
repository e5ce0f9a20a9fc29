package upstream

import "time"

// Kind is the purpose of a request to a registry.
type Kind string

// The kinds of request.
const (
	KindPing     Kind = "ping"
	KindToken    Kind = "token"
	KindHead     Kind = "head"
	KindManifest Kind = "manifest"
	KindBlob     Kind = "blob"
	KindTags     Kind = "tags"
)

// OutcomeSuccess is the outcome of a request that was answered as hoped for;
// any other outcome is the Code of its failure.
const OutcomeSuccess = "Success"

// OutcomeFallback is the outcome of the attempt to speak https to an insecure registry that
// does not: it is spoken to over http next.
const OutcomeFallback = "Fallback"

// Observation is one HTTP exchange with an upstream host, retries counted apart.
type Observation struct {
	// Host is host[:port] of the registry or token realm.
	Host string
	Kind Kind
	// Outcome is OutcomeSuccess or a Code. An answer 401 that leads to a login
	// counts as Unauthorized although the call goes on.
	Outcome string
	// Duration is from sending to the last byte read, waiting for the budget apart.
	Duration time.Duration
}

// observe passes an exchange to the Observer of the options.
func (c *Client) observe(o Observation) {
	if c.opts.Observer != nil {
		c.opts.Observer(o)
	}
}
