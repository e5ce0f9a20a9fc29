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

// CanPull asks for the right to pull the images of a stream: get
// imagestreams/layers. The error of a refusal says why, as far as is known, in
// the form `"reason" "evaluation error"` that clients of this API know.
func (a Access) CanPull(ctx context.Context, u user.Info, namespace, stream string) error {
	decision, reason, err := a.authorizer.Authorize(ctx, authorizer.AttributesRecord{
		User: u, Verb: "get", Namespace: namespace, Name: stream, ResourceRequest: true,
		APIGroup: imagev1.GroupName, APIVersion: "*", Resource: imageapi.ImageStreams, Subresource: imageapi.SubresourceLayers,
	})
	if decision == authorizer.DecisionAllow {
		return nil
	}
	failure := ""
	if err != nil {
		failure = err.Error()
	}
	return fmt.Errorf("%q %q", reason, failure)
}

// CanCreate asks for the right to create a resource of the group in the whole
// cluster.
func (a Access) CanCreate(ctx context.Context, u user.Info, resource string) bool {
	decision, _, _ := a.authorizer.Authorize(ctx, authorizer.AttributesRecord{
		User: u, Verb: "create", ResourceRequest: true,
		APIGroup: imagev1.GroupName, APIVersion: "*", Resource: resource,
	})
	return decision == authorizer.DecisionAllow
}
