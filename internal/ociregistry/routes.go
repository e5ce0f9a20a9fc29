package ociregistry

import (
	"net/http"
)

// route is what becomes of a method on a resource.
type route struct {
	on     resource
	method string // GET serves HEAD too
	needs  right
	does   func(*exchange) error
}

// right is what a caller needs.
type right struct {
	// open asks nobody who they are.
	open bool
	// action in the repository of the path, when it is not "".
	action Action
	// verb, resource and subresource in the cluster, when verb is not "".
	verb, resource, subresource string
}

// writes reports whether the right is one to change something.
func (r right) writes() bool {
	return r.action == ActionPush || r.action == ActionDelete || r.action == ActionSign || r.verb == "delete"
}

var (
	openToAll     = right{open: true}
	authenticated = right{}
	toPull        = right{action: ActionPull}
	toPush        = right{action: ActionPush}
	toDelete      = right{action: ActionDelete}
	toReadSigned  = right{action: ActionSignatureRead}
	toSign        = right{action: ActionSign}
	toRemoveData  = right{verb: "delete", resource: "images"}
	toFindMissing = right{verb: "get", resource: "registry", subresource: "content"}
	toReadMetrics = right{verb: "get", resource: "registry", subresource: "metrics"}
)

// table is everything that this registry does. It is a function because what it does
// refers back to it.
func table() []route {
	return []route{
		{rootResource, http.MethodGet, openToAll, (*exchange).sayHealthy},
		{healthResource, http.MethodGet, openToAll, (*exchange).sayHealthy},
		{tokenResource, http.MethodGet, openToAll, (*exchange).serveToken},
		{tokenResource, http.MethodPost, openToAll, (*exchange).serveToken},

		{versionResource, http.MethodGet, authenticated, (*exchange).sayVersion},
		{catalogResource, http.MethodGet, authenticated, (*exchange).listRepositories},

		{tagsResource, http.MethodGet, toPull, (*exchange).listTags},
		{referrersResource, http.MethodGet, toPull, (*exchange).listReferrers},

		{manifestResource, http.MethodGet, toPull, (*exchange).getManifest},
		{manifestResource, http.MethodPut, toPush, (*exchange).putManifest},
		{manifestResource, http.MethodDelete, toDelete, (*exchange).deleteManifest},

		{blobResource, http.MethodGet, toPull, (*exchange).getBlob},
		{blobResource, http.MethodDelete, toDelete, (*exchange).deleteBlob},

		{uploadsResource, http.MethodPost, toPush, (*exchange).startUpload},
		{uploadResource, http.MethodGet, toPull, (*exchange).getUpload},
		{uploadResource, http.MethodPatch, toPush, (*exchange).patchUpload},
		{uploadResource, http.MethodPut, toPush, (*exchange).putUpload},
		{uploadResource, http.MethodDelete, toPush, (*exchange).cancelUpload},

		{signaturesResource, http.MethodGet, toReadSigned, (*exchange).getSignatures},
		{signaturesResource, http.MethodPut, toSign, (*exchange).putSignature},

		{storedBlobResource, http.MethodDelete, toRemoveData, (*exchange).deleteStoredBlob},
		{missingResource, http.MethodGet, toFindMissing, (*exchange).listMissing},
		{metricsResource, http.MethodGet, toReadMetrics, (*exchange).getMetrics},
	}
}

// resourceNames are what metrics and logs call the resources.
var resourceNames = [resources]string{
	noResource:         "none",
	rootResource:       "root",
	healthResource:     "health",
	versionResource:    "version",
	catalogResource:    "catalog",
	tagsResource:       "tags",
	manifestResource:   "manifest",
	blobResource:       "blob",
	uploadsResource:    "uploads",
	uploadResource:     "upload",
	referrersResource:  "referrers",
	signaturesResource: "signatures",
	tokenResource:      "token",
	storedBlobResource: "stored-blob",
	missingResource:    "missing",
	metricsResource:    "metrics",
}

func (r resource) String() string { return resourceNames[r] }

// routes is the table, ready to be looked up in.
type routes struct {
	of    [resources]map[string]*route
	allow [resources]string // the Allow header of a 405
}

func newRoutes(table []route) *routes {
	rs := &routes{}
	for i := range table {
		r := &table[i]
		if rs.of[r.on] == nil {
			rs.of[r.on] = map[string]*route{}
		} else {
			rs.allow[r.on] += ", "
		}
		rs.of[r.on][r.method] = r
		rs.allow[r.on] += r.method
		if r.method == http.MethodGet {
			rs.of[r.on][http.MethodHead] = r
			rs.allow[r.on] += ", " + http.MethodHead
		}
	}
	return rs
}

// find looks a route up. The error tells that the path leads nowhere, or which methods
// it has.
func (rs *routes) find(at resource, method string) (*route, error) {
	if r := rs.of[at][method]; r != nil {
		return r, nil
	}
	if rs.of[at] == nil {
		e := NewError(CodeUnsupported, "there is nothing at this path")
		e.Status = http.StatusNotFound
		return nil, e
	}
	return nil, &Error{
		Code:    CodeUnsupported,
		Message: "this path is for " + rs.allow[at],
		Allow:   rs.allow[at],
	}
}
