package cli

import (
	"context"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	weirv1alpha1 "weir.dev/weir/internal/weirapi/v1alpha1"
)

// Bounds of TokenOptions.Expires.
const (
	MinExpires     = weirv1alpha1.MinExpirationSeconds * time.Second
	MaxExpires     = weirv1alpha1.MaxExpirationSeconds * time.Second
	DefaultExpires = weirv1alpha1.DefaultExpirationSeconds * time.Second
)

const tokenRequestTimeout = 30 * time.Second

// TokenOptions say who asks which server for a password.
type TokenOptions struct {
	// Kubeconfig is a file; "" stands for those that kubectl reads: the files of $KUBECONFIG, the one in
	// the home folder, or a pod's own service account.
	Kubeconfig string
	// Context is the kubeconfig's to use; "" is its current one.
	Context string
	// Expires is how long the password is to be good for, in whole seconds.
	Expires time.Duration
}

// Token asks the server of a kubeconfig for a password for its registry, as the user of
// that kubeconfig.
func Token(ctx context.Context, o TokenOptions) (string, error) {
	if o.Expires < MinExpires || o.Expires > MaxExpires {
		return "", fmt.Errorf("--expires %s: a password is good for %s to %s", o.Expires, MinExpires, MaxExpires)
	}
	config, err := o.config()
	if err != nil {
		return "", err
	}
	client, err := weirClient(config)
	if err != nil {
		return "", fmt.Errorf("making a client of %s: %w", config.Host, err)
	}
	asked := &weirv1alpha1.RegistryToken{Spec: weirv1alpha1.RegistryTokenSpec{ExpirationSeconds: int64(o.Expires / time.Second)}}
	answer := &weirv1alpha1.RegistryToken{}
	err = client.Post().Resource(weirv1alpha1.RegistryTokens).Body(asked).Do(ctx).Into(answer)
	switch {
	case apierrors.IsNotFound(err):
		return "", fmt.Errorf("%s has no %s of %s: it is no Weir, or an older one", config.Host, weirv1alpha1.RegistryTokens, weirv1alpha1.GroupVersion)
	case err != nil:
		return "", fmt.Errorf("asking %s for a password for its registry: %w", config.Host, err)
	case answer.Status.Token == "":
		return "", fmt.Errorf("%s answered without a password", config.Host)
	}
	return answer.Status.Token, nil
}

// config is a client config as kubectl would find it.
func (o TokenOptions) config() (*rest.Config, error) {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = o.Kubeconfig
	config, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, &clientcmd.ConfigOverrides{CurrentContext: o.Context}).ClientConfig()
	if clientcmd.IsEmptyConfig(err) {
		return nil, fmt.Errorf("which server to ask is not known: name a kubeconfig with --kubeconfig or in $KUBECONFIG")
	}
	if err != nil {
		return nil, fmt.Errorf("reading the kubeconfig: %w", err)
	}
	config.Timeout, config.UserAgent = tokenRequestTimeout, rest.DefaultKubernetesUserAgent()
	return config, nil
}

// weirClient is a client of the group weir.dev.
func weirClient(config *rest.Config) (rest.Interface, error) {
	c := rest.CopyConfig(config)
	c.APIPath = "/apis"
	c.GroupVersion = &weirv1alpha1.GroupVersion
	c.NegotiatedSerializer = serializer.NewCodecFactory(weirv1alpha1.NewPublishedScheme()).WithoutConversion()
	return rest.RESTClientFor(c)
}
