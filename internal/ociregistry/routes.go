package ociregistry

import (
	"net/http"
)

// route is the handler of a method on a resource, and the right that it requires.
type route struct {
	on     resource
	method string // GET serves HEAD too
	needs  right
	does   func(*exchange) error
}

// right is a right that a caller needs.
type right struct {
	// open needs no authentication.
	open bool
	// action in the repository of the path, if not "".
	action Action
	// verb, resource and subresource in the cluster, if verb is not "".
	verb, resource, subresource string
}

// writes reports whether the right permits a change.
func (r right) writes() bool {
	return r.action == ActionPush || r.action == ActionDelete || r.action == ActionSign || r.verb == "delete"
}

var (
	public        = right{open: true}
	authenticated = right{}
	needPull      = right{action: ActionPull}
	needPush      = right{action: ActionPush}
	toDelete      = right{action: ActionDelete}
	toReadSigned  = right{action: ActionSignatureRead}
	toSign        = right{action: ActionSign}
	toRemoveData  = right{verb: "delete", resource: "images"}
	toFindMissing = right{verb: "get", resource: "registry", subresource: "content"}
	toReadMetrics = right{verb: "get", resource: "registry", subresource: "metrics"}
)

// table returns all routes of the registry. It is a function because the handlers refer back
// to it.
func table() []route {
	return []route{
		{rootResource, http.MethodGet, public, (*exchange).getHealth},
		{healthResource, http.MethodGet, public, (*exchange).getHealth},
		{tokenResource, http.MethodGet, public, (*exchange).serveToken},
		{tokenResource, http.MethodPost, public, (*exchange).serveToken},

		{versionResource, http.MethodGet, authenticated, (*exchange).getVersion},
		{catalogResource, http.MethodGet, authenticated, (*exchange).listRepositories},

		{tagsResource, http.MethodGet, needPull, (*exchange).listTags},
		{referrersResource, http.MethodGet, needPull, (*exchange).listReferrers},

		{manifestResource, http.MethodGet, needPull, (*exchange).getManifest},
		{manifestResource, http.MethodPut, needPush, (*exchange).putManifest},
		{manifestResource, http.MethodDelete, toDelete, (*exchange).deleteManifest},

		{blobResource, http.MethodGet, needPull, (*exchange).getBlob},
		{blobResource, http.MethodDelete, toDelete, (*exchange).deleteBlob},

		{uploadsResource, http.MethodPost, needPush, (*exchange).startUpload},
		{uploadResource, http.MethodGet, needPull, (*exchange).getUpload},
		{uploadResource, http.MethodPatch, needPush, (*exchange).patchUpload},
		{uploadResource, http.MethodPut, needPush, (*exchange).putUpload},
		{uploadResource, http.MethodDelete, needPush, (*exchange).cancelUpload},

		{signaturesResource, http.MethodGet, toReadSigned, (*exchange).getSignatures},
		{signaturesResource, http.MethodPut, toSign, (*exchange).putSignature},

		{storedBlobResource, http.MethodDelete, toRemoveData, (*exchange).deleteStoredBlob},
		{missingResource, http.MethodGet, toFindMissing, (*exchange).listMissing},
		{metricsResource, http.MethodGet, toReadMetrics, (*exchange).getMetrics},
	}
}

// resourceNames are the names of resources in metrics and logs.
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

// routes is the table, indexed for lookups.
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

// find looks up a route. The error is for an unknown path, or lists the methods that the path
// allows.
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
		Message: "this path allows only " + rs.allow[at],
		Allow:   rs.allow[at],
	}
}
