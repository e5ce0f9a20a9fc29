package imageapi

import "weir.dev/weir/internal/imageapi/dockerimage"

// Annotations that Weir adds to OpenShift's API. Clients can ignore
// them.
const (
	// AnnotationImportSource on an Image: the host and repository of the mirror it was
	// first imported from, if that is not the registry in its reference.
	AnnotationImportSource = "weir.dev/import-source"
	// AnnotationClaimedBy on an Image: the "namespace/stream" whose client described it, as
	// long as the description is not verified. Only the server writes it.
	AnnotationClaimedBy = dockerimage.AnnotationClaimedBy
)
