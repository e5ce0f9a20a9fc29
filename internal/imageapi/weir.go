package imageapi

import "weir.dev/weir/internal/imageapi/dockerimage"

// Annotations of Weir's own, beyond the reference. Clients that know nothing of
// them lose nothing.
const (
	// AnnotationImportSource on an Image: the host and repository it was first
	// imported from, when a mirror answered for the one its reference names.
	AnnotationImportSource = "weir.dev/import-source"
	// AnnotationClaimedBy on an Image: the "namespace/stream" whose client described it,
	// while nothing has verified that description. The server owns it.
	AnnotationClaimedBy = dockerimage.AnnotationClaimedBy
)
