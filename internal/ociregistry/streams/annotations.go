package streams

// Annotations of Weir's own that the registry writes or obeys.
const (
	// annotationSubject on an Image: the digest of the manifest that this one is about.
	annotationSubject = "weir.dev/subject"
	// annotationArtifactType on an Image that is no container image: what it is.
	annotationArtifactType = "weir.dev/artifact-type"
	// annotationPullThrough = "disabled" on a spec tag or a stream: what it imported is
	// not fetched from outside for clients of the registry.
	annotationPullThrough = "weir.dev/pull-through"
	// annotationMirror on a spec tag or a stream selects the content of imported images to keep:
	// "disabled" is nothing, "pulled" the images that clients pull, "always" all, at import.
	// That of the tag takes precedence, unless the stream's is "disabled".
	annotationMirror = "weir.dev/mirror"

	// disabled is the value that switches off.
	disabled = "disabled"
	// pulled and always are values of annotationMirror.
	pulled = "pulled"
	always = "always"
)
