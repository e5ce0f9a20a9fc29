// Package tokens provides the tokens of the integrated registry: JWTs, signed with a key in a Secret,
// with the user and, for most of them, a purpose.
//
// There are two kinds. An access token comes from the registry's token endpoint; it is valid for
// minutes and for the repositories of the request. A password comes from the API, for users without
// a credential that registry clients can send: a certificate does not fit into a login. It is valid
// for hours, and for everything that its user may do.
//
// A token that verifies grants nothing by itself: its grants bound the rights that RBAC then reviews
// for its user.
package tokens
