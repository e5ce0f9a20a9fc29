package streams

import (
	"context"
	"fmt"
	"net/http"

	imagev1 "github.com/openshift/api/image/v1"
	imageclient "github.com/openshift/client-go/image/clientset/versioned/typed/image/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apiserver/pkg/authentication/user"
	authorizationclient "k8s.io/client-go/kubernetes/typed/authorization/v1"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/transport"
)

// namespacesResource is the resource that is read as metadata alone.
var namespacesResource = corev1.SchemeGroupVersion.WithResource("namespaces")

// api has the clients of the API, which share one transport.
type api struct {
	config     *rest.Config
	http       *http.Client
	images     imageclient.ImageV1Interface
	reviews    authorizationclient.SubjectAccessReviewInterface
	namespaces metadata.Getter
}

func newAPI(config *rest.Config, identity user.Info) (*api, error) {
	config = rest.CopyConfig(config)
	if identity != nil {
		config.Wrap(func(next http.RoundTripper) http.RoundTripper { return onBehalf{next, identity} })
	}
	if config.QPS == 0 && config.RateLimiter == nil {
		config.QPS = -1 // the server's own fairness decides, not a client's guess
	}
	// Streams with long histories come in a fraction of the time that JSON takes.
	config.AcceptContentTypes = runtime.ContentTypeProtobuf + "," + runtime.ContentTypeJSON
	config.ContentType = runtime.ContentTypeJSON
	client, err := rest.HTTPClientFor(config)
	if err != nil {
		return nil, fmt.Errorf("creating the registry's API client: %w", err)
	}
	images, err := imageclient.NewForConfigAndClient(config, client)
	if err != nil {
		return nil, fmt.Errorf("creating the registry's client for the image API: %w", err)
	}
	authorization, err := authorizationclient.NewForConfigAndClient(config, client)
	if err != nil {
		return nil, fmt.Errorf("creating the registry's client for access reviews: %w", err)
	}
	meta, err := metadata.NewForConfigAndClient(metadata.ConfigFor(config), client)
	if err != nil {
		return nil, fmt.Errorf("creating the registry's client for namespaces: %w", err)
	}
	return &api{config: config, http: client, images: images, reviews: authorization.SubjectAccessReviews(), namespaces: meta.Resource(namespacesResource)}, nil
}

// as returns a client for the image API that impersonates a user.
func (a *api) as(u user.Info) (imageclient.ImageV1Interface, error) {
	images, err := imageclient.NewForConfigAndClient(a.config, a.impersonating(u))
	if err != nil {
		return nil, fmt.Errorf("creating a client for the image API as user %q: %w", u.GetName(), err)
	}
	return images, nil
}

// impersonating returns an HTTP client that impersonates a user.
func (a *api) impersonating(u user.Info) *http.Client {
	impersonate := transport.ImpersonationConfig{UserName: u.GetName(), UID: u.GetUID(), Groups: u.GetGroups(), Extra: u.GetExtra()}
	client := *a.http
	if client.Transport == nil {
		client.Transport = http.DefaultTransport
	}
	client.Transport = transport.NewImpersonatingRoundTripper(impersonate, client.Transport)
	return &client
}

// stream reads a stream. The error is the API's.
func (a *api) stream(ctx context.Context, id types.NamespacedName) (*imagev1.ImageStream, error) {
	return a.images.ImageStreams(id.Namespace).Get(ctx, id.Name, getOptions)
}

// image reads an Image. The error is the API's.
func (a *api) image(ctx context.Context, name string) (*imagev1.Image, error) {
	return a.images.Images().Get(ctx, name, getOptions)
}

// review creates an access review.
func (a *api) review(ctx context.Context, spec authorizationv1.SubjectAccessReviewSpec) (bool, error) {
	answer, err := a.reviews.Create(ctx, &authorizationv1.SubjectAccessReview{Spec: spec}, metav1.CreateOptions{})
	if err != nil {
		return false, err
	}
	return answer.Status.Allowed, nil
}

// rules returns what a user sees of a namespace by the rules there. Users who may not read their
// own rules, as those who are not logged in, have none that say everything.
func (a *api) rules(ctx context.Context, u user.Info, namespace string) (sight, error) {
	review := &authorizationv1.SelfSubjectRulesReview{Spec: authorizationv1.SelfSubjectRulesReviewSpec{Namespace: namespace}}
	authorization, err := authorizationclient.NewForConfigAndClient(a.config, a.impersonating(u))
	if err == nil {
		review, err = authorization.SelfSubjectRulesReviews().Create(ctx, review, metav1.CreateOptions{})
	}
	if apierrors.IsForbidden(err) {
		return sight{unsure: true}, nil
	}
	if err != nil {
		return sight{}, fmt.Errorf("reading the rules of user %q in namespace %s: %w", u.GetName(), namespace, err)
	}
	return sightBy(review.Status), nil
}

func unlessMissing(err error, name string) error {
	if missing(err, name) {
		return nil
	}
	return err
}
