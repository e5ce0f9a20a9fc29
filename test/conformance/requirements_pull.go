package conformance

import "slices"

// What spec.md says before and about pulling. Lines 82 and 132 to 135 are about words and
// about categories, which this suite checks whole.
var pullRequirements = []Requirement{
	{Line: 52, Section: "Legacy Docker support HTTP headers", Level: "SHOULD NOT", Says: "clients depend on Docker's headers", Client: true},
	{Line: 57, Section: "Legacy Docker support error codes", Level: "SHOULD NOT", Says: "clients depend on codes for old manifests", Client: true},
	{Line: 82, Section: "Notational Conventions", Level: "", Says: "what the words mean", Client: true},
	{Line: 132, Section: "Workflow Categories", Level: "MUST", Says: "all APIs for pulling are there", Checks: every("blob-pull", "manifest-pull")},
	{Line: 134, Section: "Workflow Categories", Level: "SHOULD", Says: "push, content discovery and content management are there", Checks: every(
		"upload-monolithic", "manifest-push", "tags", "referrers", "delete-tag", "delete-manifest", "blob-delete")},
	{Line: 135, Section: "Workflow Categories", Level: "MUST", Says: "a category that is claimed is there whole", Checks: ofKinds("")},
	{Line: 153, Section: "Pulling manifests", Level: "MUST", Says: "a reference is a digest or a tag", Checks: in("manifest-pull", "get")},
	{Line: 154, Section: "Pulling manifests", Level: "MUST NOT", Says: "a reference is anything else", Checks: slices.Concat(
		in("manifest-refused", "malformed-digest", "invalid-tag"), in("digests-refused", "prefix-is-no-digest"))},
	{Line: 155, Section: "Pulling manifests", Level: "MUST", Says: "names follow their regular expression", Checks: slices.Concat(every("names", "names-refused"))},
	{Line: 164, Section: "Pulling manifests", Level: "MUST", Says: "tags follow their regular expression and have at most 128 characters", Checks: append(
		in("manifest-push", "tag-grammar"), in("manifest-refused", "invalid-tag")...)},
	{Line: 168, Section: "Pulling manifests", Level: "SHOULD", Says: "clients send Accept", Client: true},
	{Line: 170, Section: "Pulling manifests", Level: "SHOULD NOT", Says: "Content-Type has parameters", Checks: append(
		in("manifest-pull", "content-type"), in("manifest-push", "content-type-with-parameters")...)},
	{Line: 171, Section: "Pulling manifests", Level: "SHOULD", Says: "clients ignore parameters of Content-Type", Client: true},
	{Line: 172, Section: "Pulling manifests", Level: "SHOULD", Says: "Content-Type is the one that was pushed", Checks: slices.Concat(
		in("manifest-pull", "content-type"), every("manifest-negotiation"))},
	{Line: 173, Section: "Pulling manifests", Level: "SHOULD", Says: "clients reject a mediaType field unlike Content-Type", Client: true},
	{Line: 176, Section: "Pulling manifests", Level: "MUST", Says: "an existing manifest is answered with 200 and is the expected one", Checks: append(
		in("manifest-pull", "get", "child-of-index"), every("manifest-negotiation")...)},
	{Line: 177, Section: "Pulling manifests", Level: "SHOULD", Says: "Docker-Content-Digest is in the answer", Checks: in("manifest-pull", "digest-header")},
	{Line: 182, Section: "Pulling manifests", Level: "MUST", Says: "clients that use the digest verify it", Client: true},
	{Line: 183, Section: "Pulling manifests", Level: "SHOULD", Says: "clients verify the digest they asked for", Client: true},
	{Line: 185, Section: "Pulling manifests", Level: "MUST", Says: "a manifest that the repository does not have is 404", Checks: in("manifest-pull",
		"unknown-tag", "unknown-digest", "unknown-repository", "other-repository", "blob-is-no-manifest")},
	{Line: 194, Section: "Pulling blobs", Level: "MUST", Says: "an existing blob is answered with 200 and is the expected one", Checks: slices.Concat(
		in("blob-pull", "get", "get-large", "as-it-is"), in("blob-empty", "head-and-ranges"))},
	{Line: 195, Section: "Pulling blobs", Level: "SHOULD", Says: "Docker-Content-Digest is in the answer", Checks: in("blob-pull", "get-digest-header")},
	{Line: 196, Section: "Pulling blobs", Level: "MUST", Says: "the digest in the header is one of the body", Checks: append(
		in("blob-pull", "get-digest-header"), in("blob-sha512", "post-put")...)},
	{Line: 197, Section: "Pulling blobs", Level: "MUST", Says: "clients that use the digest verify it", Client: true},
	{Line: 198, Section: "Pulling blobs", Level: "SHOULD", Says: "clients verify the digest they asked for", Client: true},
	{Line: 200, Section: "Pulling blobs", Level: "MUST", Says: "a blob that the repository does not have is 404", Checks: in("blob-pull",
		"unknown", "unknown-repository", "other-repository")},
	{Line: 202, Section: "Pulling blobs", Level: "SHOULD", Says: "Range is supported as in RFC 9110", Checks: every("blob-ranges")},
	{Line: 212, Section: "Checking if content exists in the registry", Level: "MUST", Says: "HEAD of what is there is 200", Checks: append(
		in("blob-pull", "head"), in("manifest-pull", "head")...)},
	{Line: 213, Section: "Checking if content exists in the registry", Level: "SHOULD", Says: "Docker-Content-Digest is in the answer", Checks: append(
		in("blob-pull", "head-digest-header"), in("manifest-pull", "digest-header")...)},
	{Line: 214, Section: "Checking if content exists in the registry", Level: "SHOULD", Says: "Content-Length is the size", Checks: slices.Concat(
		in("blob-pull", "head"), in("manifest-pull", "head"), in("blob-empty", "head-and-ranges"))},
	{Line: 216, Section: "Checking if content exists in the registry", Level: "MUST", Says: "HEAD of what is not there is 404", Checks: append(
		in("blob-pull", "unknown", "unknown-repository"), in("manifest-pull", "unknown-tag", "unknown-digest", "unknown-repository")...)},
}
