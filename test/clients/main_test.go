// Package clients_test drives a whole Weir with the clients that people use: the real
// kubectl with the kubeconfig that the server wrote, and the manifests of examples/.
package clients_test

import (
	"os"
	"testing"

	"weir.dev/weir/internal/standalone"
	"weir.dev/weir/internal/testenv"
)

// integrated is the address of the registry that tags with the policy Local are pulled
// from.
const integrated = "registry.test.svc:5000"

// groupPath is where the image API is.
const groupPath = "/apis/image.openshift.io/v1"

var env *testenv.Env

func TestMain(m *testing.M) {
	os.Exit(testenv.Run(m, func(e *testenv.Env) { env = e }, func(o *standalone.Options) {
		o.InternalHostname = integrated
	}))
}

// in is kubectl as the admin in a namespace.
func in(t *testing.T, namespace string) testenv.Kubectl {
	t.Helper()
	return env.Kubectl(t).With("-n", namespace)
}
