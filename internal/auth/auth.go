// Package auth asks, in the words of image streams, what a user may do. The
// answers come from whatever authorizer the server runs with: RBAC inside a
// standalone Weir, access reviews in a cluster.
package auth

import (
	"context"
	"fmt"

	imagev1 "github.com/openshift/api/image/v1"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"

	"weir.dev/weir/internal/imageapi"
)

// Access answers questions about users.
type Access struct{ authorizer authorizer.Authorizer }

// New asks the authorizer.
func New(a authorizer.Authorizer) Access { return Access{a} }

// Refusal is the answer no, or no answer. Its text has the form `"reason" "failure"`
// that clients of the image API know.
type Refusal struct {
	// Reason is the text of the authorizer, often empty.
	Reason string
	// Failure is why there was no review; nil if a review denied it.
	Failure error
}

func (r *Refusal) Error() string {
	failure := ""
	if r.Failure != nil {
		failure = r.Failure.Error()
	}
	return fmt.Sprintf("%q %q", r.Reason, failure)
}

// Unwrap is the failure.
func (r *Refusal) Unwrap() error { return r.Failure }

// right is something that can be allowed, a verb on a resource of the group; without
// namespace it is about the whole cluster.
type right struct{ verb, resource, subresource, namespace, name string }

// ask returns nil or a *Refusal.
func (a Access) ask(ctx context.Context, u user.Info, r right) error {
	decision, reason, err := a.authorizer.Authorize(ctx, authorizer.AttributesRecord{
		User: u, Verb: r.verb, Namespace: r.namespace, Name: r.name, ResourceRequest: true,
		APIGroup: imagev1.GroupName, APIVersion: "*", Resource: r.resource, Subresource: r.subresource,
	})
	if decision == authorizer.DecisionAllow {
		return nil
	}
	return &Refusal{Reason: reason, Failure: err}
}

// CanPull reviews the right to pull the images of a stream: get imagestreams/layers.
// The error is a *Refusal.
func (a Access) CanPull(ctx context.Context, u user.Info, namespace, stream string) error {
	return a.ask(ctx, u, right{"get", imageapi.ImageStreams, imageapi.SubresourceLayers, namespace, stream})
}

// CanPush reviews the right to push images to a stream: update imagestreams/layers.
// Pushing takes the right to pull besides. The error is a *Refusal.
func (a Access) CanPush(ctx context.Context, u user.Info, namespace, stream string) error {
	return a.ask(ctx, u, right{"update", imageapi.ImageStreams, imageapi.SubresourceLayers, namespace, stream})
}

// CanDeleteTags reviews the right to delete the tags of a namespace's streams: delete
// imagestreamtags. The error is a *Refusal.
func (a Access) CanDeleteTags(ctx context.Context, u user.Info, namespace string) error {
	return a.ask(ctx, u, right{"delete", imageapi.ImageStreamTags, "", namespace, ""})
}

// CanDeleteImages reviews the right to delete images, which are the whole cluster's. The
// error is a *Refusal.
func (a Access) CanDeleteImages(ctx context.Context, u user.Info) error {
	return a.ask(ctx, u, right{verb: "delete", resource: imageapi.Images})
}

// CanUpdateImages reviews the right to update images, which are the whole cluster's. What a
// user with this right sends as the content of an image counts as verified. The error is a
// *Refusal.
func (a Access) CanUpdateImages(ctx context.Context, u user.Info) error {
	return a.ask(ctx, u, right{verb: "update", resource: imageapi.Images})
}

// CanSign reviews the right to add signatures to a stream's images: create
// imagesignatures. The error is a *Refusal.
func (a Access) CanSign(ctx context.Context, u user.Info, namespace, stream string) error {
	return a.ask(ctx, u, right{"create", imageapi.ImageSignatures, "", namespace, stream})
}

// CanInCluster reviews a right on a resource of the group in the whole cluster, where it
// is the caller's business which one. The error is a *Refusal.
func (a Access) CanInCluster(ctx context.Context, u user.Info, verb, resource, subresource string) error {
	return a.ask(ctx, u, right{verb: verb, resource: resource, subresource: subresource})
}

// CanCreate reviews the right to create a resource of the group in the whole
// cluster.
func (a Access) CanCreate(ctx context.Context, u user.Info, resource string) bool {
	return a.CanInCluster(ctx, u, "create", resource, "") == nil
}
