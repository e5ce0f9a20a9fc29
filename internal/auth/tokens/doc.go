// Package tokens provides the tokens that the integrated registry issues: JWTs that are
// signed with a key the cluster keeps in a Secret, and that say who somebody is and, for
// most of them, what they are good for.
//
// There are two kinds. A client gets an access token from the registry's token
// endpoint, for minutes and for the repositories of its request. A password is what a user
// asks the API for, who has none that a registry client could send: a certificate does not
// fit into a login. It is good for hours, and for whatever its user may do.
//
// A token that verifies never gives a right by itself: its grants bound what is then asked
// of RBAC in its user's name.
package tokens
