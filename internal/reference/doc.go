// Package reference provides the names by which images are known: pull specs
// ("quay.io/org/app:1", "app@sha256:…") and the composite names of the image
// API ("stream:tag", "stream@image").
//
// Everything here is pure: strings go in, values or typed errors come out.
// Parse keeps a pull spec as it was written, so that Parse(p.String()) == p for
// every p that Parse returned; what a client would add (docker.io, library,
// latest) is added only on request, by PullSpec.WithDefaults.
package reference
