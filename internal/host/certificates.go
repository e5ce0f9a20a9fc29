package host

import (
	"context"

	"k8s.io/kubernetes/pkg/controller/certificates/cleaner"
	"k8s.io/kubernetes/pkg/controller/certificates/signer"
)

// clientCertificates signs approved requests of the signer kubernetes.io/kube-apiserver-client
// with the authority whose client certificates the API accepts, and removes requests that are
// old. Approving stays with people: nothing here does it.
func (c *controllers) clientCertificates(ctx context.Context) ([]func(context.Context), error) {
	requests := c.host.informers.Certificates().V1().CertificateSigningRequests()
	keys := c.host.options.pki
	signing, err := signer.NewKubeAPIServerClientCSRSigningController(ctx, c.client, requests, keys.path("ca.crt"), keys.path("ca.key"), leafLifetime)
	if err != nil {
		return nil, err
	}
	cleaning := cleaner.NewCSRCleanerController(c.client.CertificatesV1().CertificateSigningRequests(), requests)
	return []func(context.Context){
		func(ctx context.Context) { signing.Run(ctx, 1) },
		func(ctx context.Context) { cleaning.Run(ctx, 1) },
	}, nil
}
