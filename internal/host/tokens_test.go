package host

import (
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	corev1listers "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"
)

// The token of an account that was just made is valid before the informer has the account.
func TestBoundObjectsOfAnInformerThatIsBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		indexer := cache.NewIndexer(cache.MetaNamespaceKeyFunc, cache.Indexers{cache.NamespaceIndex: cache.MetaNamespaceIndexFunc})
		b := boundObjects{serviceAccounts: corev1listers.NewServiceAccountLister(indexer)}
		go func() {
			<-time.After(informerLag / 2)
			_ = indexer.Add(&corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "new"}})
		}()
		if sa, err := b.GetServiceAccount(t.Context(), "ns", "new"); err != nil || sa.Name != "new" {
			t.Errorf("a new account: %v", err)
		}
		if _, err := b.GetServiceAccount(t.Context(), "ns", "gone"); !apierrors.IsNotFound(err) {
			t.Errorf("a deleted account: %v", err)
		}
	})
}
