package ociregistry

import (
	"net"
	"time"
)

// AccessLog writes an entry for each finished request. It must be safe for concurrent use.
type AccessLog interface{ Write(e AccessEntry) }

// AccessEntry describes a finished request. It leaves out the query and the headers, which may
// hold credentials.
type AccessEntry struct {
	// Time is when the request arrived, Duration how long it took.
	Time     time.Time
	Duration time.Duration
	// Request is its ID, which the server's log and the audit log have too.
	Request string
	// User is "" for a request that ended before authentication, and for the token endpoint.
	User string
	// Client is the address it came from, without a port; of a trusted proxy, the address that
	// the proxy names.
	Client string
	Method string
	// Route is the kind of resource, such as "manifest" or "blob".
	Route string
	// Repository and Reference (a tag, a digest or the id of an upload) are as the client wrote
	// them, "" if the path has none.
	Repository, Reference string
	// Digest is the digest of the content sent or stored, "" if there is none.
	Digest string
	// Status is the response status, 0 if the connection was cut before the header.
	Status int
	// Received and Sent are the bytes of the bodies.
	Received, Sent int64
}

// entry returns the access log entry of a finished exchange.
func (x *exchange) entry(took time.Duration) AccessEntry {
	e := AccessEntry{
		Time: x.started, Duration: took, Request: x.requestName(), Client: x.client(), Method: x.r.Method,
		Route: x.at.resource.String(), Repository: x.at.name, Reference: x.at.reference,
		Digest: x.w.Header().Get("Docker-Content-Digest"), Status: x.w.status, Received: x.body.read, Sent: x.w.sent,
	}
	if x.caller.User != nil {
		e.User = x.caller.User.GetName()
	}
	return e
}

// client returns the address of the client, "" if it is not known yet.
func (x *exchange) client() string {
	if x.caller.Client != "" {
		return x.caller.Client
	}
	host, _, err := net.SplitHostPort(x.r.RemoteAddr)
	if err != nil {
		return x.r.RemoteAddr
	}
	return host
}
