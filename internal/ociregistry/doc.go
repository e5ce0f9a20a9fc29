// Package ociregistry provides the OCI registry: the /v2/ API of the OCI distribution
// specification 1.1, with the routes that clients of OpenShift's registry use, over
// image streams.
//
// A request is authenticated and its right asked for (Access), its names are looked up
// in the streams (Directory), its content is read from and written to blob storage
// (package blobstore) or, where only an outside registry has it, fetched through
// (Upstream). Those four are made by others; this package is the protocol.
//
// To read it, begin with the table in routes.go. A request is parsed once (path.go),
// passes the limits (limits.go), is authenticated and authorized (exchange.go) and
// handled by one verb, each in a file of its own. Whatever fails comes back as an error
// and becomes an answer in one place (failure.go). Who may read which content is decided
// in reading.go and nowhere else.
package ociregistry
