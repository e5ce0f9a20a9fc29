package ociregistry

import (
	"net/url"
	"strings"
)

// resource is the kind of resource at a path.
type resource uint8

const (
	noResource resource = iota
	rootResource
	healthResource
	versionResource
	catalogResource
	tagsResource
	manifestResource
	blobResource
	uploadsResource
	uploadResource
	referrersResource
	signaturesResource
	tokenResource
	storedBlobResource
	missingResource
	metricsResource
	resources // number of resources
)

// location is a parsed path. name and reference are as the client wrote them, not
// validated.
type location struct {
	resource resource
	// name of the repository
	name string
	// reference is a tag, a digest or the id of an upload
	reference string
}

const (
	versionPrefix    = "/v2/"
	extensionsPrefix = "/extensions/v2/"
	storedBlobPrefix = "/admin/blobs/"
	missingPath      = "/admin/missing"
	tokenPath        = "/openshift/token"
)

// pathOf returns the decoded path of a URL. ok is false if it has an escaped slash: decoding
// would change the resource, and no name, tag or digest contains one.
func pathOf(u *url.URL) (path string, ok bool) {
	if u.RawPath != "" && (strings.Contains(u.RawPath, "%2f") || strings.Contains(u.RawPath, "%2F")) {
		return "", false
	}
	return u.Path, true
}

// locate parses a decoded path. Names of repositories have any number of components, any of
// which may be "manifests" or "blobs", so the path is parsed from its end. It is not cleaned
// first: a name with "..", "//" or upper case is invalid and rejected later.
func locate(path string) location {
	switch {
	case strings.HasPrefix(path, versionPrefix):
		return locateVersion(path[len(versionPrefix):])
	case strings.HasPrefix(path, extensionsPrefix):
		return locateExtension(path[len(extensionsPrefix):])
	case strings.HasPrefix(path, storedBlobPrefix) && !strings.Contains(path[len(storedBlobPrefix):], "/"):
		return location{resource: storedBlobResource, reference: path[len(storedBlobPrefix):]}
	}
	switch path {
	case "/", "":
		return location{resource: rootResource}
	case "/healthz":
		return location{resource: healthResource}
	case "/v2":
		return location{resource: versionResource}
	case missingPath:
		return location{resource: missingResource}
	case tokenPath:
		return location{resource: tokenResource}
	}
	return location{}
}

// locateVersion parses the path after /v2/.
func locateVersion(rest string) location {
	switch rest {
	case "":
		return location{resource: versionResource}
	case "_catalog":
		return location{resource: catalogResource}
	}
	front, last := cutLast(rest)
	name, verb := cutLast(front)
	switch verb {
	case "manifests":
		return referring(manifestResource, name, last)
	case "referrers":
		return referring(referrersResource, name, last)
	case "tags":
		if last == "list" && name != "" {
			return location{resource: tagsResource, name: name}
		}
	case "uploads":
		// …/blobs/uploads/ starts an upload.
		repository, blobs := cutLast(name)
		if blobs != "blobs" || repository == "" {
			return location{}
		}
		if last == "" {
			return location{resource: uploadsResource, name: repository}
		}
		return location{resource: uploadResource, name: repository, reference: last}
	case "blobs":
		if last == "uploads" && name != "" {
			return location{resource: uploadsResource, name: name}
		}
		return referring(blobResource, name, last)
	}
	return location{}
}

// locateExtension parses the path after /extensions/v2/.
func locateExtension(rest string) location {
	if rest == "metrics" {
		return location{resource: metricsResource}
	}
	front, last := cutLast(rest)
	if name, verb := cutLast(front); verb == "signatures" {
		return referring(signaturesResource, name, last)
	}
	return location{}
}

// referring returns a location that requires a name and a reference.
func referring(r resource, name, reference string) location {
	if name == "" || reference == "" || strings.Contains(reference, "/") {
		return location{}
	}
	return location{resource: r, name: name, reference: reference}
}

// cutLast cuts a path before its last component: "a/b/c" is "a/b" and "c".
func cutLast(path string) (front, last string) {
	i := strings.LastIndexByte(path, '/')
	if i < 0 {
		return "", path
	}
	return path[:i], path[i+1:]
}
