// Package upstream is the client of other registries.
//
// A Client has Rules (internal/registryrules) for the sources of a pull spec. A Repository of it
// tries these sources with each matching credential (internal/pullsecrets): ping, token, HEAD and
// GET. Everything that arrives is bounded, verified and mapped to one error type. Each host has a
// budget of requests in flight and, with each credential, a rate, so that a slow or refusing host
// delays no other.
//
// Responses are foreign bytes. Sizes, counts, times and redirects are bounded, and content is
// compared with its digest. A credential is sent only to the registry that it is configured for, or
// to the token realm that this registry names.
package upstream
