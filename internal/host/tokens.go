package host

import (
	"context"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/informers"
	corev1listers "k8s.io/client-go/listers/core/v1"
	"k8s.io/kubernetes/pkg/serviceaccount"
)

const (
	// informerLag is how far an informer may be behind the API.
	informerLag  = 250 * time.Millisecond
	informerPoll = 5 * time.Millisecond
)

// boundObjects answers whether the objects that a service account token is
// bound to still exist. This host has no pods and no nodes, so a token bound to
// one of those never holds.
type boundObjects struct {
	secrets         corev1listers.SecretLister
	serviceAccounts corev1listers.ServiceAccountLister
}

func newBoundObjects(f informers.SharedInformerFactory) serviceaccount.ServiceAccountTokenGetter {
	return boundObjects{secrets: f.Core().V1().Secrets().Lister(), serviceAccounts: f.Core().V1().ServiceAccounts().Lister()}
}

func (b boundObjects) GetServiceAccount(ctx context.Context, namespace, name string) (*corev1.ServiceAccount, error) {
	return found(ctx, func() (*corev1.ServiceAccount, error) { return b.serviceAccounts.ServiceAccounts(namespace).Get(name) })
}

func (b boundObjects) GetSecret(ctx context.Context, namespace, name string) (*corev1.Secret, error) {
	return found(ctx, func() (*corev1.Secret, error) { return b.secrets.Secrets(namespace).Get(name) })
}

// found gets an object from an informer, which can be a moment behind: a token that this server
// signed is for an object that existed.
func found[T any](ctx context.Context, get func() (T, error)) (object T, err error) {
	_ = wait.PollUntilContextTimeout(ctx, informerPoll, informerLag, true, func(context.Context) (bool, error) {
		object, err = get()
		return !apierrors.IsNotFound(err), nil
	})
	return object, err
}

func (boundObjects) GetPod(_ context.Context, _, name string) (*corev1.Pod, error) {
	return nil, apierrors.NewNotFound(corev1.Resource("pods"), name)
}

func (boundObjects) GetNode(_ context.Context, name string) (*corev1.Node, error) {
	return nil, apierrors.NewNotFound(corev1.Resource("nodes"), name)
}

func (boundObjects) GetValidatingWebhookConfiguration(_ context.Context, name string) (*admissionregistrationv1.ValidatingWebhookConfiguration, error) {
	return nil, apierrors.NewNotFound(admissionregistrationv1.Resource("validatingwebhookconfigurations"), name)
}

func (boundObjects) GetMutatingWebhookConfiguration(_ context.Context, name string) (*admissionregistrationv1.MutatingWebhookConfiguration, error) {
	return nil, apierrors.NewNotFound(admissionregistrationv1.Resource("mutatingwebhookconfigurations"), name)
}
