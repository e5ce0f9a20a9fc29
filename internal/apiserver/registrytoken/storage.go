// Package registrytoken provides registrytokens of weir.dev: passwords for the integrated
// registry, for users whom the API server knows by something that a registry client cannot
// send. Nothing is stored; creating one is answered with the password.
package registrytoken

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/apiserver/pkg/authentication/user"
	apirequest "k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/apiserver/pkg/registry/rest"
	"k8s.io/apiserver/pkg/warning"

	"weir.dev/weir/internal/auth/credential"
	"weir.dev/weir/internal/auth/tokens"
	weirv1alpha1 "weir.dev/weir/internal/weirapi/v1alpha1"
)

// retrySeconds is when to try again while the key cannot be had.
const retrySeconds = 2

// REST creates registry tokens.
type REST struct {
	issuer  *tokens.Issuer
	objects *credential.Objects
}

var (
	_ rest.Creater              = (*REST)(nil)
	_ rest.Scoper               = (*REST)(nil)
	_ rest.SingularNameProvider = (*REST)(nil)
)

// NewREST issues tokens by the issuer, bound to objects that it looks up.
func NewREST(issuer *tokens.Issuer, objects *credential.Objects) *REST { return &REST{issuer, objects} }

// New implements rest.Storage.
func (r *REST) New() runtime.Object { return &weirv1alpha1.RegistryToken{} }

// Destroy implements rest.Storage; there is nothing to release.
func (r *REST) Destroy() {}

// NamespaceScoped implements rest.Scoper.
func (r *REST) NamespaceScoped() bool { return false }

// GetSingularName implements rest.SingularNameProvider.
func (r *REST) GetSingularName() string { return "registrytoken" }

// Create answers with a password for the user of the request. It ends with the credentials of
// the request, which credential.Note has to keep, and with the user's service account. A dry
// run answers without one.
func (r *REST) Create(ctx context.Context, obj runtime.Object, validate rest.ValidateObjectFunc, o *metav1.CreateOptions) (runtime.Object, error) {
	asked, ok := obj.(*weirv1alpha1.RegistryToken)
	if !ok {
		return nil, apierrors.NewBadRequest(fmt.Sprintf("not a RegistryToken: %T", obj))
	}
	if err := checkExpiration(asked); err != nil {
		return nil, err
	}
	if validate != nil {
		if err := validate(ctx, asked.DeepCopy()); err != nil {
			return nil, err
		}
	}
	u, ok := apirequest.UserFrom(ctx)
	if !ok || u.GetName() == user.Anonymous || slices.Contains(u.GetGroups(), user.AllUnauthenticated) {
		return nil, apierrors.NewForbidden(weirv1alpha1.Resource(weirv1alpha1.RegistryTokens), "", errors.New("anonymous requests cannot get a password: authenticate first"))
	}
	answer := asked.DeepCopy()
	answer.ManagedFields = nil // of what is not kept, nobody manages anything
	answer.Status = weirv1alpha1.RegistryTokenStatus{}
	if len(o.DryRun) > 0 {
		return answer, nil
	}
	lifetime := time.Duration(asked.Spec.ExpirationSeconds) * time.Second
	text, issued, err := r.issue(ctx, u, lifetime)
	if err != nil {
		return nil, notIssued(err)
	}
	if issued.ExpiresAt.Sub(issued.IssuedAt) < lifetime {
		warning.AddWarning(ctx, "", fmt.Sprintf("the password expires at %s, with the credential of the request", issued.ExpiresAt.UTC().Format(time.RFC3339)))
	}
	expires := metav1.NewTime(issued.ExpiresAt)
	answer.Status = weirv1alpha1.RegistryTokenStatus{Token: text, ExpirationTimestamp: &expires}
	return answer, nil
}

// errEndless is the reason not to issue a password for, for example, a token of a static file.
var errEndless = errors.New("a password expires with the credential of the request, and this one has no known expiry; use the API token itself as the password")

// issue makes a password that ends with the credentials of the request.
func (r *REST) issue(ctx context.Context, u user.Info, lifetime time.Duration) (string, tokens.Token, error) {
	end, ok := credential.EndOfRequest(ctx, u)
	if !ok {
		return "", tokens.Token{}, errEndless
	}
	u = credential.WithoutEnd(u)
	end, err := r.objects.Complete(ctx, u, end)
	if err != nil {
		return "", tokens.Token{}, err
	}
	return r.issuer.Issue(ctx, tokens.Password, u, nil, lifetime, end)
}

func checkExpiration(t *weirv1alpha1.RegistryToken) error {
	seconds := t.Spec.ExpirationSeconds
	if seconds >= weirv1alpha1.MinExpirationSeconds && seconds <= weirv1alpha1.MaxExpirationSeconds {
		return nil
	}
	return apierrors.NewInvalid(schema.GroupKind{Group: weirv1alpha1.GroupName, Kind: weirv1alpha1.KindRegistryToken}, t.Name, field.ErrorList{
		field.Invalid(field.NewPath("spec", "expirationSeconds"), seconds,
			fmt.Sprintf("must be from %d to %d", weirv1alpha1.MinExpirationSeconds, weirv1alpha1.MaxExpirationSeconds)),
	})
}

// notIssued is the API's error for the issuer's.
func notIssued(err error) error {
	var large *tokens.TooLargeError
	var gone *credential.GoneError
	var ended *tokens.InvalidError
	forbidden := func(err error) error {
		return apierrors.NewForbidden(weirv1alpha1.Resource(weirv1alpha1.RegistryTokens), "", err)
	}
	switch {
	case errors.As(err, &large):
		return forbidden(fmt.Errorf("%w; an API token can be used as the password instead", large))
	case errors.As(err, &gone):
		return forbidden(fmt.Errorf("the credential is no longer valid: %w", gone))
	case errors.As(err, &ended), errors.Is(err, errEndless):
		return forbidden(err)
	}
	return apierrors.NewServerTimeout(weirv1alpha1.Resource(weirv1alpha1.RegistryTokens), "create", retrySeconds)
}
