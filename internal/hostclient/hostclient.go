// Package hostclient provides the client configuration of components that run in a process of
// their own: that of a kubeconfig, or of the pod they run in.
package hostclient

import (
	"errors"
	"fmt"

	"github.com/spf13/pflag"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// Options name the API server.
type Options struct {
	// Kubeconfig is a file; without one, the service account of the pod is used.
	Kubeconfig string
	// Context is a context of the file, "" for its current one.
	Context string
}

// AddFlags adds the flags.
func (o *Options) AddFlags(fs *pflag.FlagSet) {
	fs.StringVar(&o.Kubeconfig, "kubeconfig", o.Kubeconfig, "The kubeconfig of the API server. Without one, the service account of the pod is used.")
	fs.StringVar(&o.Context, "context", o.Context, "The context of the kubeconfig. Default: its current one.")
}

// errNoHost is the error of a process without an API server.
var errNoHost = errors.New("--kubeconfig is required outside of a pod")

// Config returns a client configuration. The number of requests is left to the API server's
// fairness.
func (o *Options) Config() (*rest.Config, error) {
	config, err := o.load()
	if err != nil {
		return nil, err
	}
	config.QPS = -1
	return config, nil
}

func (o *Options) load() (*rest.Config, error) {
	if o.Kubeconfig == "" {
		config, err := rest.InClusterConfig()
		if errors.Is(err, rest.ErrNotInCluster) {
			return nil, errNoHost
		}
		if err != nil {
			return nil, fmt.Errorf("reading the service account of the pod: %w", err)
		}
		return config, nil
	}
	config, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(
		&clientcmd.ClientConfigLoadingRules{ExplicitPath: o.Kubeconfig}, &clientcmd.ConfigOverrides{CurrentContext: o.Context}).ClientConfig()
	if err != nil {
		return nil, fmt.Errorf("--kubeconfig %s: %w", o.Kubeconfig, err)
	}
	return config, nil
}

// For returns a copy of a configuration for one component, whose requests can be recognized in the
// audit log.
func For(config *rest.Config, component string) *rest.Config {
	return rest.AddUserAgent(rest.CopyConfig(config), "weir-"+component)
}
