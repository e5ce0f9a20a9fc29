package registryserver

import (
	"context"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"

	"weir.dev/weir/internal/hostclient"
)

// reconcileInterval is the time between two looks for links of streams that are gone.
const reconcileInterval = time.Hour

// bindInterval is the time between two attempts to learn whose storage it is.
const bindInterval = time.Second

// reconcile removes the links of streams and namespaces that are gone, at the start
// and then regularly, until ctx ends. Deletions that the directory sees do not wait for it.
//
// It does not begin over storage that belongs to another API, such as that of an etcd that
// was lost: all streams would seem to be gone.
func (r *Registry) reconcile(ctx context.Context) error {
	if !cache.WaitForCacheSync(ctx.Done(), r.directory.HasSynced) {
		return nil // it is stopping
	}
	if !r.waitForStorage(ctx) {
		return nil
	}
	r.ownsStorage.Store(true)
	ticks := time.NewTicker(reconcileInterval)
	defer ticks.Stop()
	for {
		if err := r.handler.Reconcile(ctx); err != nil && ctx.Err() == nil {
			klog.FromContext(ctx).Error(err, "Removing the links of deleted image streams failed, trying again", "in", reconcileInterval)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticks.C:
		}
	}
}

// waitForStorage is askForStorage, which is tried until it has an answer: at the first start
// the namespace is made a moment later. It is false when ctx ends.
func (r *Registry) waitForStorage(ctx context.Context) (ours bool) {
	ask := func(ctx context.Context) (bool, error) {
		var err error
		if ours, err = r.askForStorage(ctx); err == nil {
			return true, nil
		}
		if !apierrors.IsNotFound(err) && ctx.Err() == nil {
			klog.FromContext(ctx).Error(err, "Looking which API the registry's storage belongs to failed, trying again", "in", bindInterval)
		}
		return false, nil
	}
	return wait.PollUntilContextCancel(ctx, bindInterval, true, ask) == nil && ours
}

// askForStorage reports whether the registry's storage belongs to this API, which is known by
// the UID of its namespace kube-system.
func (r *Registry) askForStorage(ctx context.Context) (bool, error) {
	client, err := kubernetes.NewForConfig(hostclient.For(r.host.Config, "registry-reconciliation"))
	if err != nil {
		return false, fmt.Errorf("making the client of namespaces: %w", err)
	}
	system, err := client.CoreV1().Namespaces().Get(ctx, metav1.NamespaceSystem, metav1.GetOptions{})
	if err != nil {
		return false, fmt.Errorf("reading namespace %s: %w", metav1.NamespaceSystem, err)
	}
	bound, err := r.store.BindAPI(ctx, string(system.UID))
	if err != nil {
		return false, fmt.Errorf("looking which API the registry's storage belongs to: %w", err)
	}
	if bound != string(system.UID) {
		klog.FromContext(ctx).Error(nil, "The registry's storage belongs to another API: links of streams that do not exist here are kept. "+
			"If that API is gone for good, delete the file _api in the storage and restart", "bound", bound, "namespaceUID", system.UID)
		return false, nil
	}
	return true, nil
}
