// Package reference parses and formats the names of images: pull specs
// ("quay.io/org/app:1", "app@sha256:…") and the composite names of the image
// API ("stream:tag", "stream@image").
//
// The package is pure: strings in, values or typed errors out. Parse keeps a pull spec as it
// was written, so that Parse(p.String()) == p for every p that Parse returned. Only
// PullSpec.WithDefaults adds the defaults of clients (docker.io, library, latest).
package reference
