package imagestreamimport

import (
	"context"
	"slices"

	imagev1 "github.com/openshift/api/image/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	apirequest "k8s.io/apiserver/pkg/endpoints/request"

	"weir.dev/weir/internal/stream"
)

// copySources loads the streams whose repositories in the integrated registry an import reads.
// Call it before the import sends requests, so that the responses belong to these streams and
// not to later ones of the same names.
func (r *REST) copySources(ctx context.Context, isi *imagev1.ImageStreamImport) (map[types.NamespacedName]*imagev1.ImageStream, error) {
	target := &imagev1.ImageStream{}
	target.Namespace, target.Name = isi.Namespace, isi.Name
	var pullSpecs []string
	for i := range isi.Spec.Images {
		pullSpecs = append(pullSpecs, isi.Spec.Images[i].From.Name)
	}
	if isi.Spec.Repository != nil {
		pullSpecs = append(pullSpecs, isi.Spec.Repository.From.Name)
	}
	var sources map[types.NamespacedName]*imagev1.ImageStream
	for _, pullSpec := range pullSpecs {
		source, ok := stream.CopySourceOf(target, pullSpec, r.Hosts.Current())
		if _, loaded := sources[source]; !ok || loaded {
			continue
		}
		s, err := r.Streams.Get(apirequest.WithNamespace(ctx, source.Namespace), source.Name)
		if err != nil && !apierrors.IsNotFound(err) {
			return nil, err // as it is: the server shows clients only API errors
		}
		if sources == nil {
			sources = map[types.NamespacedName]*imagev1.ImageStream{}
		}
		sources[source] = s // nil without such a stream
	}
	return sources, nil
}

// recordCopies records which images of an outcome came from streams of the integrated
// registry. The registry gave them to the credentials of the namespace, which therefore have
// the right to pull there.
func (r *REST) recordCopies(s *imagev1.ImageStream, outcome stream.ImportOutcome, sources map[types.NamespacedName]*imagev1.ImageStream) {
	var copied []stream.Copied
	for i := range outcome.Tags {
		result := &outcome.Tags[i]
		source, ok := stream.CopySourceOf(s, result.Reference, r.Hosts.Current())
		if from := sources[source]; ok && from != nil && result.Image != "" {
			copied = append(copied, stream.Copied{Image: result.Image, From: from})
		}
	}
	stream.RecordCopies(s, copied...)
}

// keepOrigins returns the outcome with the references that s has already for images which it
// imported from its own repository: the source of their content stays the same.
func (r *REST) keepOrigins(s *imagev1.ImageStream, outcome stream.ImportOutcome) stream.ImportOutcome {
	outcome.Tags = slices.Clone(outcome.Tags)
	for i := range outcome.Tags {
		result := &outcome.Tags[i]
		if result.Image != "" && stream.IsOwnRepository(s, result.Reference, r.Hosts) {
			if event, err := stream.FindEvent(s, result.Image); err == nil && event.DockerImageReference != "" {
				result.Reference = event.DockerImageReference
			}
		}
	}
	return outcome
}
