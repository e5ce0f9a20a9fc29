package imageserver

import (
	"context"
	"sync"

	imageclient "github.com/openshift/client-go/image/clientset/versioned"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	quota "k8s.io/apiserver/pkg/quota/v1"
	"k8s.io/client-go/rest"

	imagequota "weir.dev/weir/internal/apiserver/quota"
	"weir.dev/weir/internal/hostclient"
)

// QuotaEvaluators count image streams for quotas. They read streams from the API of loopback, which
// is called when the first is read. lister is nil at admission.
func QuotaEvaluators(lister quota.ListerForResourceFunc, loopback func() *rest.Config) []quota.Evaluator {
	client := sync.OnceValues(func() (imageclient.Interface, error) {
		config := hostclient.For(loopback(), "quota")
		config.QPS = -1 // the server's own fairness decides, not a client's guess
		return imageclient.NewForConfig(config)
	})
	return imagequota.Evaluators(lister, func(ctx context.Context, namespace, name string) bool {
		c, err := client()
		if err != nil {
			return true
		}
		_, err = c.ImageV1().ImageStreams(namespace).Get(ctx, name, metav1.GetOptions{})
		return !apierrors.IsNotFound(err)
	})
}
