package imageapi

// Annotations of Weir's own, beyond the reference. Clients that know nothing of
// them lose nothing.
const (
	// AnnotationImportSource on an Image: the host and repository it was first
	// imported from, when a mirror answered for the one its reference names.
	AnnotationImportSource = "weir.dev/import-source"
)
