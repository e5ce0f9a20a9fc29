// Package pullsecrets finds the credentials for a repository in pull secrets and in the
// config.json of a node.
//
// Patterns match as those of the kubelet do: host[:port][/path] with globs in the host, the more
// specific one first. Malformed entries are left out with a Warning that never shows their content.
package pullsecrets
