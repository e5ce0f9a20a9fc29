package conformance

import "slices"

// What spec.md says about finding content.
var discoveryRequirements = []Requirement{
	{Line: 521, Section: "Listing Tags", Level: "MUST", Says: "the tags of a repository are answered with 200", Checks: in("tags",
		"all", "empty", "follows-pushes-and-deletes", "of-this-repository", "by-digest-makes-none")},
	{Line: 523, Section: "Listing Tags", Level: "MUST", Says: "tags are in lexical order", Checks: in("tags", "order", "order-of-cases")},
	{Line: 525, Section: "Listing Tags", Level: "MUST", Says: "the list is JSON with name and tags", Checks: in("tags", "all", "empty")},
	{Line: 544, Section: "Listing Tags", Level: "MUST", Says: "n tags are listed where there are as many and no Link", Checks: in("tags-paging", "n", "n-huge", "n-invalid", "hundreds")},
	{Line: 546, Section: "Listing Tags", Level: "MUST", Says: "Link is as in RFC 5988, with rel=\"next\"", Checks: in("tags-paging", "link", "hundreds")},
	{Line: 547, Section: "Listing Tags", Level: "MUST", Says: "n=0 is an empty list without Link", Checks: in("tags-paging", "n-zero")},
	{Line: 549, Section: "Listing Tags", Level: "MUST", Says: "a page of tags is in lexical order", Checks: in("tags-paging", "n", "hundreds")},
	{Line: 555, Section: "Listing Tags", Level: "MUST", Says: "last is a tag, not a number", Checks: in("tags-paging", "last", "last-unknown", "last-without-n")},
	{Line: 558, Section: "Listing Tags", Level: "MUST", Says: "tags after last are in lexical order", Checks: append(in("tags-paging", "last", "last-without-n"), in("tags", "order-of-cases")...)},
	{Line: 576, Section: "Listing Referrers", Level: "MUST", Says: "the referrers of a digest are answered with 200", Checks: in("referrers",
		"unknown-subject", "several", "many", "once-each", "subject-deleted", "pushed-after-listing")},
	{Line: 577, Section: "Listing Referrers", Level: "MUST NOT", Says: "404 is answered", Checks: in("referrers", "unknown-subject", "unknown-repository", "subject-deleted")},
	{Line: 578, Section: "Listing Referrers", Level: "MUST", Says: "what is no digest is 400", Checks: in("referrers", "malformed-digest")},
	{Line: 580, Section: "Listing Referrers", Level: "MUST", Says: "the body is an image index of descriptors", Checks: in("referrers", "several", "of-this-repository")},
	{Line: 581, Section: "Listing Referrers", Level: "MUST", Says: "Content-Type is that of an image index", Checks: in("referrers", "several", "unknown-subject")},
	{Line: 583, Section: "Listing Referrers", Level: "MUST", Says: "descriptors have the artifactType", Checks: in("referrers-types", "artifact-type", "artifact-type-over-config", "index-with-type")},
	{Line: 584, Section: "Listing Referrers", Level: "MUST", Says: "artifactType is the configuration's type where there is none", Checks: in("referrers-types",
		"config-media-type", "image-config", "empty-config")},
	{Line: 585, Section: "Listing Referrers", Level: "MUST", Says: "artifactType is left out for an index without", Checks: in("referrers-types", "index-without-type")},
	{Line: 586, Section: "Listing Referrers", Level: "MUST", Says: "descriptors have the annotations", Checks: in("referrers-types", "artifact-type", "no-annotations", "many-annotations", "index-with-type")},
	{Line: 587, Section: "Listing Referrers", Level: "MUST", Says: "no referrers are an empty list", Checks: append(
		in("referrers", "unknown-subject", "unknown-repository"), in("referrers-filter", "nothing-matches", "unknown-subject")...)},
	{Line: 626, Section: "Listing Referrers", Level: "MUST", Says: "a list that does not fit has a Link", Checks: append(in("referrers", "many"), in("referrers-filter", "many")...)},
	{Line: 628, Section: "Listing Referrers", Level: "MUST", Says: "Link is as in RFC 5988, with rel=\"next\"", Checks: in("referrers", "many")},
	{Line: 630, Section: "Listing Referrers", Level: "SHOULD", Says: "artifactType can be filtered by", Checks: in("referrers-filter", "matching", "by-config", "plus-sign", "exact")},
	{Line: 632, Section: "Listing Referrers", Level: "MUST", Says: "OCI-Filters-Applied names a filter that was applied", Checks: in("referrers-filter", "matching", "nothing-matches", "not-asked")},
	{Line: 633, Section: "Listing Referrers", Level: "MUST", Says: "several filters are separated by commas", Checks: in("referrers-filter", "unknown-filter")},
	{Line: 663, Section: "Listing Referrers", Level: "MUST", Says: "clients fall back to the tag schema", Client: true},
	{Line: 664, Section: "Listing Referrers", Level: "SHOULD", Says: "the tag has what the API would have", Client: true, Checks: in("referrers", "tag-schema")},
	{Line: 665, Section: "Listing Referrers", Level: "SHOULD", Says: "clients take no valid index for no referrers", Client: true},
}

// What spec.md says about deleting, about older registries, and about the API as such.
var managementRequirements = []Requirement{
	{Line: 678, Section: "Deleting tags", Level: "MUST", Says: "a tag is deleted with 202", Checks: every("delete-tag")},
	{Line: 679, Section: "Deleting tags", Level: "MUST", Says: "where it is disabled: 400 or 405; this suite asks for deletion", Checks: in("delete-tag", "accepted")},
	{Line: 688, Section: "Deleting Manifests", Level: "MUST", Says: "a manifest is deleted with 202", Checks: append(every("delete-manifest"), in("referrers", "referrer-deleted", "tag-of-referrer-deleted")...)},
	{Line: 689, Section: "Deleting Manifests", Level: "MUST", Says: "404 where the repository does not exist", Checks: in("delete-manifest", "unknown-repository")},
	{Line: 690, Section: "Deleting Manifests", Level: "MUST", Says: "where it is disabled: 400 or 405; this suite asks for deletion", Checks: in("delete-manifest", "accepted")},
	{Line: 694, Section: "Deleting Manifests", Level: "SHOULD", Says: "clients mend their lists of referrers", Client: true},
	{Line: 708, Section: "Deleting Blobs", Level: "MUST", Says: "a blob is deleted with 202", Checks: append(every("blob-delete"), append(in("blob-empty", "delete"), in("blob-sha512", "delete")...)...)},
	{Line: 709, Section: "Deleting Blobs", Level: "MUST", Says: "404 where the blob is not found", Checks: in("blob-delete", "unknown", "twice")},
	{Line: 710, Section: "Deleting Blobs", Level: "MUST", Says: "where it is disabled: 400 or 405; this suite asks for deletion", Checks: in("blob-delete", "accepted")},
	{Line: 714, Section: "Backwards Compatibility", Level: "MUST", Says: "clients support older registries", Client: true},
	{Line: 715, Section: "Backwards Compatibility", Level: "MUST", Says: "clients implement the fallbacks", Client: true},
	{Line: 719, Section: "Unavailable Referrers API", Level: "MUST", Says: "clients find out whether there is a referrers API", Client: true},
	{Line: 720, Section: "Unavailable Referrers API", Level: "MUST", Says: "clients fall back to the tag schema", Client: true},
	{Line: 749, Section: "Enabling the Referrers API", Level: "MUST", Says: "manifests that a list under a tag has are referrers", Checks: in("referrers", "tag-schema")},
	{Line: 751, Section: "Enabling the Referrers API", Level: "MUST", Says: "every manifest that is pushed with a subject is a referrer", Checks: in("referrers", "several", "many", "pushed-after-listing")},
	{Line: 788, Section: "Error Codes", Level: "MUST", Says: "errors in JSON have a form", Checks: slices.Concat(
		in("blob-pull", "unknown"), every("upload-refused", "manifest-refused"))},
	{Line: 804, Section: "Error Codes", Level: "MUST", Says: "codes are uppercase letters and underscores", Checks: every("manifest-refused", "upload-refused")},
	{Line: 805, Section: "Error Codes", Level: "SHOULD", Says: "messages can be read by people", Checks: in("manifest-pull", "unknown-tag")},
	{Line: 808, Section: "Error Codes", Level: "MUST", Says: "codes are the specification's", Checks: slices.Concat(
		in("blob-pull", "unknown"), in("upload-session", "unknown", "cut-put"), in("manifest-pull", "unknown-tag"), in("tags", "unknown-repository"), in("tags-paging", "n-invalid"),
		every("upload-refused", "manifest-refused", "names-refused", "digests-refused", "methods"))},
	{Line: 831, Section: "Warnings", Level: "MUST", Says: "warnings have code 299, agent - and no date", Checks: every("ping")},
	{Line: 833, Section: "Warnings", Level: "MUST NOT", Says: "more than 4096 bytes of warnings are sent", Checks: every("ping")},
	{Line: 843, Section: "Warnings", Level: "SHOULD", Says: "clients show warnings", Client: true},
	{Line: 844, Section: "Warnings", Level: "SHOULD", Says: "clients show a warning once", Client: true},
	{Line: 845, Section: "Warnings", Level: "MUST NOT", Says: "clients act on warnings", Client: true},
}
