package imageapi

import (
	imagev1 "github.com/openshift/api/image/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"weir.dev/weir/internal/imageapi/dockerimage"
)

// Plural resource names of the group, as they stand in URLs and in authorization rules.
const (
	Images              = "images"
	ImageSignatures     = "imagesignatures"
	ImageStreams        = "imagestreams"
	ImageStreamTags     = "imagestreamtags"
	ImageTags           = "imagetags"
	ImageStreamImages   = "imagestreamimages"
	ImageStreamImports  = "imagestreamimports"
	ImageStreamMappings = "imagestreammappings"
)

// Subresources of imagestreams.
const (
	SubresourceStatus  = "status"
	SubresourceLayers  = "layers"
	SubresourceSecrets = "secrets"
)

// Labels that some errors carry instead of the plural resource name. Clients match on them.
const (
	// SingularImageStream labels the conflict of an import with a stale resourceVersion.
	SingularImageStream = "imagestream"
	// SingularImageStreamTag labels the AlreadyExists of a POST of a tag that is there.
	SingularImageStreamTag = "imagestreamtag"
	// SingularImageStreamImage labels the NotFound of an id that no image of the stream matches.
	SingularImageStreamImage = "imagestreamimage"
	// SingularImageStreamMapping is the resource of the right to tag images of unlisted
	// registries, in addition to the plural spelling.
	SingularImageStreamMapping = "imagestreammapping"
	// MixedCaseImageSignatures labels AlreadyExists of signatures.
	MixedCaseImageSignatures = "imageSignatures"
	// DockerImageResource labels the NotFound status of an upstream image.
	DockerImageResource = "dockerimage"
)

// Kinds that the from field of a spec tag or of an import may have.
const (
	KindDockerImage      = "DockerImage"
	KindImageStreamTag   = "ImageStreamTag"
	KindImageStreamImage = "ImageStreamImage"
	KindImageStream      = "ImageStream"
)

// Annotations on image streams, images, secrets and spec tags.
const (
	// AnnotationRepository on a stream that a push created: the repository path below the
	// namespace, if it differs from the stream's name.
	AnnotationRepository = "weir.dev/repository"
	// AnnotationRepositoryCheck on a stream: RFC 3339 UTC time of the last import attempt.
	AnnotationRepositoryCheck = imagev1.DockerImageRepositoryCheckAnnotation
	// AnnotationInsecureRepository = "true" on a stream: insecure transport for all its tags.
	AnnotationInsecureRepository = imagev1.InsecureRepositoryAnnotation
	// AnnotationImportCause on an ImageStreamImport: why a controller created it ("schedule",
	// "retry", "spec"). It is used only in the Events of tags that the import moves.
	AnnotationImportCause = "weir.dev/import-cause"
	// AnnotationManaged = "true" on an Image: it was pushed to the integrated registry.
	AnnotationManaged = imagev1.ManagedByOpenShiftAnnotation
	// AnnotationExcludeSecret = "true" on a Secret: imagestreams/secrets omits it.
	AnnotationExcludeSecret = imagev1.ExcludeImageSecretAnnotation
	// AnnotationLayersOrder on an Image: "ascending" (base first) or "descending".
	AnnotationLayersOrder = imagev1.DockerImageLayersOrderAnnotation
	// AnnotationManifestBlobStored = "true" on an Image: the registry stores manifest and config,
	// and the API blanks them.
	AnnotationManifestBlobStored = imagev1.ImageManifestBlobStoredAnnotation
	// AnnotationPreferArch and AnnotationPreferOS on a spec tag choose the platform of a Legacy
	// import of a manifest list.
	AnnotationPreferArch = imagev1.ImporterPreferArchAnnotation
	AnnotationPreferOS   = imagev1.ImporterPreferOSAnnotation
	// AnnotationManagedSignature on a signature is deprecated and removed on write.
	AnnotationManagedSignature = dockerimage.AnnotationManagedSignature
	// AnnotationDenyExecution = "true" on an Image: the default policy refuses to run it.
	AnnotationDenyExecution = "images.openshift.io/deny-execution"
)

// Annotations on workloads, namespaces, service accounts and pull secrets.
const (
	// AnnotationTriggers on a workload: JSON list of image change triggers.
	AnnotationTriggers = "image.openshift.io/triggers"
	// AnnotationResolveNames = "*" on a workload or its pod template forces local resolution.
	AnnotationResolveNames = "alpha.image.policy.openshift.io/resolve-names"
	// AnnotationIgnoreRules on a Namespace: comma list of execution rules to skip.
	AnnotationIgnoreRules = "alpha.image.policy.openshift.io/ignore-rules"
	// AnnotationPullSecretRef on a ServiceAccount: name of its managed pull secret.
	AnnotationPullSecretRef = "openshift.io/internal-registry-pull-secret-ref"
	// AnnotationTokenServiceAccount and AnnotationTokenBinding record the token of a managed
	// pull secret; the binding is BindingBound or BindingLegacy.
	AnnotationTokenServiceAccount = "openshift.io/internal-registry-auth-token.service-account"
	AnnotationTokenBinding        = "openshift.io/internal-registry-auth-token.binding"
	BindingBound                  = "bound"
	BindingLegacy                 = "legacy"
)

// MaxImageBytes is the largest Image as it is stored: 64 KiB below the 2 MiB that the API
// server's etcd client sends in one request.
const MaxImageBytes = 2<<20 - 64<<10

// Condition types of signatures, and the one signature type that clients know.
const (
	SignatureTrusted       = "Trusted"
	SignatureForImage      = "ForImage"
	SignatureTypeAtomicV1  = imagev1.ImageSignatureTypeAtomicImageV1
	TagConditionImportDone = imagev1.ImportSuccess
)

// InternalGroupVersion is the server's internal version. Its types are those of v1.
var InternalGroupVersion = schema.GroupVersion{Group: imagev1.GroupName, Version: "__internal"}

// Resource qualifies a resource name with the group.
func Resource(name string) schema.GroupResource {
	return schema.GroupResource{Group: imagev1.GroupName, Resource: name}
}

// Kind qualifies a kind with the group.
func Kind(name string) schema.GroupKind {
	return schema.GroupKind{Group: imagev1.GroupName, Kind: name}
}
