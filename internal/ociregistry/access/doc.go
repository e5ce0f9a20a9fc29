// Package access provides ociregistry.Access over a Kubernetes API: who somebody is comes
// from token reviews, what they may do from access reviews, and between the two stand the
// tokens that the registry issues itself (package auth/tokens), so that clients that speak
// the Docker token protocol show a password once and a short-lived token afterwards.
//
// A request is read in this order:
//
//	Authorization   no credentials → a challenge that names the token endpoint
//	  Basic         the user name is not looked at, the password is an API token or ours
//	  Bearer        an API token, ours, or "anonymous" for nobody
//	Allow           grants of the token, if it has any, then RBAC as it is now
//
// What was found out is remembered for seconds, refusals for fewer than permissions.
package access
