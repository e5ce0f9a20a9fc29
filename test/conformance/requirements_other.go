package conformance

import "slices"

// Documents beside spec.md.
const (
	specMain = "distribution-spec main"
	specTree = "distribution-spec"
	docker   = "Docker Registry HTTP API V2"
	http9110 = "RFC 9110"
	imageDoc = "image-spec"
	ofWeir   = "weir"
)

// What other documents say, or spec.md without one of its words.
var otherRequirements = []Requirement{
	{Document: specTree, Section: "Determining Support", Says: "GET /v2/ is 200", Checks: in("ping", "support")},
	{Document: specTree, Section: "Endpoints", Says: "who has no credentials is told 401", Checks: in("ping", "credentials")},
	{Document: specTree, Section: "Endpoints", Says: "sessions that do not exist are 404", Checks: in("upload-session", "unknown", "other-repository", "cancel")},
	{Document: specTree, Section: "Endpoints", Says: "other methods are refused", Checks: every("methods")},
	{Document: specTree, Section: "Endpoints", Says: "manifests and blobs that do not exist cannot be deleted", Checks: append(
		in("delete-tag", "unknown", "twice"), in("delete-manifest", "unknown", "twice")...)},
	{Document: specTree, Section: "Use Cases", Says: "a push is resumed after a broken connection", Checks: in("upload-session", "resume-after-cut-patch", "cut-put")},
	{Document: specTree, Section: "Use Cases", Says: "a pull is resumed after a broken connection", Checks: in("blob-ranges", "resume")},
	{Document: specTree, Section: "Use Cases", Says: "a layer that is pushed twice, also at once, is there", Checks: append(
		in("concurrency", "same-blob"), in("upload-monolithic", "again")...)},
	{Document: specTree, Section: "Listing Tags", Says: "a repository that does not exist has no tags to list", Checks: in("tags", "unknown-repository")},
	{Document: specTree, Section: "Content negotiation", Says: "what is answered suits Accept and is called what it is", Checks: every("manifest-negotiation")},
	{Document: specTree, Section: "Extensions", Says: "_catalog lists repositories", Checks: every("catalog")},

	{Document: specMain, Section: "Pushing Manifests", Level: "MUST", Says: "a push by digest takes tags as parameters and answers OCI-Tag", Checks: slices.Concat(
		every("tag-parameters"), ofKinds("image/with-tag-parameters"))},
	{Document: specMain, Section: "Pushing blobs", Level: "SHOULD", Says: "digest-algorithm announces an algorithm", Checks: append(
		every("blob-sha512"), in("upload-refused", "unknown-algorithm")...)},
	{Document: specMain, Section: "Mounting a blob from another repository", Level: "MAY", Says: "from is optional", Checks: in("mount", "anonymous", "anonymous-upload-only")},
	{Document: specMain, Section: "Canceling a blob upload", Level: "MUST", Says: "DELETE of a session is 204", Checks: in("upload-session", "cancel", "cancel-after-chunk")},

	{Document: docker, Section: "Stream upload", Says: "PATCH without Content-Range appends", Checks: every("upload-streamed")},
	{Document: docker, Section: "Canceling an Upload", Says: "DELETE of a session is 204, and the session is gone", Checks: in("upload-session", "cancel", "cancel-after-chunk")},
	{Document: docker, Section: "Listing Repositories", Says: "n, last and Link page the catalog", Checks: in("catalog", "paging", "n-zero-or-invalid")},

	{Document: http9110, Section: "9.3.2", Level: "SHOULD", Says: "HEAD has the header of GET", Checks: every("head")},
	{Document: http9110, Section: "13.1.2", Level: "MUST", Says: "If-None-Match is heeded", Checks: append(in("blob-pull", "if-none-match"), in("manifest-pull", "if-none-match")...)},
	{Document: http9110, Section: "14", Level: "MUST", Says: "ranges that cannot be satisfied, several and unknown ones", Checks: in("blob-ranges", "not-satisfiable", "ignored", "several", "head", "if-range")},
	{Document: http9110, Section: "15.5.6", Level: "MUST", Says: "405 has Allow", Checks: in("methods", "not-allowed")},

	{Document: imageDoc, Section: "descriptor.md, Digests", Level: "MUST", Says: "digests have a form", Checks: slices.Concat(
		every("digests-refused"), in("upload-refused", "malformed-digest", "algorithm-confusion"), in("blob-delete", "malformed-digest"), in("blob-empty", "wrong-digest"))},
	{Document: imageDoc, Section: "descriptor.md, Registered algorithms", Says: "SHA-256 and SHA-512", Checks: slices.Concat(
		every("blob-sha512"), ofKinds("image-sha512/"), ofKinds("index-sha512/"), ofKinds("artifact-sha512/"), in("delete-manifest", "sha512"), in("subject", "sha512"))},
	{Document: imageDoc, Section: "descriptor.md, Embedded Content", Says: "data is kept and never added", Checks: append(ofKinds("image-data-field/"), in("manifest-bytes", "data-field")...)},
	{Document: imageDoc, Section: "manifest.md", Level: "MUST NOT", Says: "unknown types and fields are errors", Checks: append(
		in("manifest-bytes", "unknown-media-types", "unknown-child-media-type"), slices.Concat(ofKinds("image-custom-fields/"), ofKinds("index-custom-fields/"))...)},
	{Document: imageDoc, Section: "manifest.md", Says: "kinds of manifests", Checks: ofKinds("")},
	{Document: imageDoc, Section: "layer.md, Non-Distributable Layers", Level: "SHOULD NOT", Says: "such layers are pushed", Checks: append(
		in("manifest-references", "non-distributable"), ofKinds("image-non-distributable/")...)},
	{Document: imageDoc, Section: "image-index.md", Says: "an index may be empty, nested, sparse", Checks: slices.Concat(
		ofKinds("index-empty/"), ofKinds("index-nested/"), ofKinds("index-sparse/"), in("manifest-references", "missing-child"))},

	{Document: ofWeir, Section: "names", Says: "names of any depth are repositories of their own", Checks: every("names")},
	{Document: ofWeir, Section: "paths", Says: "nothing leads out of a repository", Checks: every("traversal")},
	{Document: ofWeir, Section: "rights", Says: "a digest known from elsewhere opens nothing", Checks: append(
		in("manifest-references", "blob-of-other-repository", "child-of-other-repository", "index-whole-elsewhere-before", "index-whole-elsewhere-after", "non-distributable-of-other-repository"),
		in("blob-pull", "other-repository")...)},
	{Document: ofWeir, Section: "uploads", Says: "blobs are there before any manifest", Checks: append(in("blob-pull", "before-any-manifest"), every("blob-empty")...)},
	{Document: ofWeir, Section: "many clients", Says: "what is acknowledged is there, whoever else pushes", Checks: every("concurrency")},
	{Document: ofWeir, Section: "many clients", Says: "random walks", Checks: every("walk")},
}
