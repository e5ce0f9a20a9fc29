// Package ociregistry provides the OCI registry: the /v2/ API of the OCI distribution
// specification 1.1, with the routes that clients of OpenShift's registry use, over
// image streams.
//
// A request is authenticated and authorized (Access), its names are looked up in the
// streams (Directory), and its content is read from and written to blob storage (package
// blobstore) or fetched from another registry (Upstream). Other packages provide these
// four; this package is the protocol.
//
// To read it, begin with the table in routes.go. A request is parsed once (path.go),
// passes the limits (limits.go), is authenticated and authorized (exchange.go) and
// handled by one verb, each in a file of its own. Errors become answers in one place
// (failure.go).
//
// Only ownership.go decides which content can be read in a repository. Reads (reading.go),
// mounts (mount.go) and pushes (parts.go) all call it. handover.go keeps copies readable when
// their source is deleted.
package ociregistry
