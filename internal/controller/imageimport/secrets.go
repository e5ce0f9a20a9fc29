package imageimport

import (
	"context"
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"
)

const (
	// secretDelay merges changes of several related secrets into one.
	secretDelay = 2 * time.Second
	// secretInterval bounds how often the changes of one namespace's secrets end pauses, so that
	// frequent writes of a secret do not cause as many requests to registries.
	secretInterval = 30 * time.Second
)

// SecretMetadata is the transform of an informer of pull secrets. It keeps only the identity and
// version of a secret, since annotations can contain the whole secret.
func SecretMetadata(obj any) (any, error) {
	m, ok := obj.(metav1.Object)
	if !ok {
		return obj, nil
	}
	return &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{
		Namespace: m.GetNamespace(), Name: m.GetName(), UID: m.GetUID(), ResourceVersion: m.GetResourceVersion(),
	}}, nil
}

// watchSecrets makes changes of pull secrets end the pauses of tags with denied access, until
// stop is called.
func (c *Controller) watchSecrets(r *run) (stop func(), err error) {
	handles := map[cache.SharedIndexInformer]cache.ResourceEventHandlerRegistration{}
	stop = func() {
		for informer, handle := range handles {
			if err := informer.RemoveEventHandler(handle); err != nil {
				klog.ErrorS(err, "Removing the event handler of pull secrets failed")
			}
		}
	}
	for _, informer := range c.secrets {
		if handles[informer], err = informer.AddEventHandler(r.secretHandler()); err != nil {
			delete(handles, informer)
			stop()
			return nil, fmt.Errorf("watching pull secrets: %w", err)
		}
	}
	return stop, nil
}

func (r *run) secretHandler() cache.ResourceEventHandlerDetailedFuncs {
	changed := func(obj any) {
		if secret, ok := obj.(metav1.Object); ok && !r.options.Retry.Disabled {
			r.secrets.AddAfter(secret.GetNamespace(), secretDelay)
		}
	}
	return cache.ResourceEventHandlerDetailedFuncs{
		AddFunc: func(obj any, isInInitialList bool) {
			if !isInInitialList {
				changed(obj)
			}
		},
		UpdateFunc: func(before, after any) {
			old, ok := before.(metav1.Object)
			if now, isObject := after.(metav1.Object); ok && isObject && old.GetResourceVersion() != now.GetResourceVersion() {
				changed(after)
			}
		},
	}
}

// syncSecrets makes the tags of a namespace with denied access due at once.
func (r *run) syncSecrets(ctx context.Context, namespace string) error {
	now := r.now()
	if due := r.lastSecrets[namespace].Add(secretInterval); now.Before(due) {
		r.secrets.AddAfter(namespace, due.Sub(now))
		return nil
	}
	r.forgetSecrets(now)
	streams, err := r.streams(namespace)
	if err != nil {
		return err
	}
	for _, s := range streams {
		if tags := refusedTags(s); len(tags) > 0 {
			klog.FromContext(ctx).V(2).Info("A pull secret changed; retrying tags whose access was denied", "imageStream", klog.KObj(s), "tags", tags)
			r.lastSecrets[namespace] = now
			r.memory.hurry(keyOf(s), tags)
			r.lookAtRetries(keyOf(s))
		}
	}
	return nil
}

// forgetSecrets removes the times that no longer delay anything.
func (r *run) forgetSecrets(now time.Time) {
	for namespace, at := range r.lastSecrets {
		if now.Sub(at) >= secretInterval {
			delete(r.lastSecrets, namespace)
		}
	}
}

func loggedNamespace(namespace string) []any { return []any{"namespace", namespace} }
