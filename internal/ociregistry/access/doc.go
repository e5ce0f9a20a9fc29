// Package access provides ociregistry.Access over a Kubernetes API: token reviews authenticate
// users, access reviews authorize them. The registry also issues tokens of its own (package
// auth/tokens), so that clients of the Docker token protocol send a password once and a
// short-lived token afterwards.
//
// A request is evaluated in this order:
//
//	Authorization   no credentials → a challenge that names the token endpoint
//	  Basic         the user name is ignored, the password is an API token or the registry's
//	  Bearer        an API token, the registry's, or "anonymous" for system:anonymous
//	Allow           grants of the token, if it has any, then RBAC as it is now
//
// Results are cached for seconds, denials for a shorter time than permissions.
package access
