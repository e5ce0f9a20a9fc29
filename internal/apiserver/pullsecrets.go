package apiserver

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/util/resourceversion"

	"weir.dev/weir/internal/imageapi"
)

// pullSecretTypes are the types of secrets that hold credentials for registries.
var pullSecretTypes = []corev1.SecretType{corev1.SecretTypeDockercfg, corev1.SecretTypeDockerConfigJson}

// pullSecrets lists the pull secrets of a namespace with the server's own
// identity, less those that are marked to be left out, by name. The host selects
// the types, so that other secrets (release histories of a megabyte each, say)
// stay where they are. The resourceVersion is the oldest of the lists: all later
// changes are events of a watch from there.
func (c Config) pullSecrets(ctx context.Context, namespace string) (*corev1.SecretList, error) {
	lists := make([]*corev1.SecretList, len(pullSecretTypes))
	var group errgroup.Group // each list may wait for the watch cache
	for i, secretType := range pullSecretTypes {
		group.Go(func() (err error) {
			lists[i], err = c.secretsOf(ctx, namespace, secretType)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	found := &corev1.SecretList{ListMeta: metav1.ListMeta{ResourceVersion: oldest(lists)}}
	for _, list := range lists {
		for i := range list.Items {
			if list.Items[i].Annotations[imageapi.AnnotationExcludeSecret] != "true" {
				found.Items = append(found.Items, list.Items[i])
			}
		}
	}
	slices.SortFunc(found.Items, func(a, b corev1.Secret) int { return strings.Compare(a.Name, b.Name) })
	return found, nil
}

func (c Config) secretsOf(ctx context.Context, namespace string, secretType corev1.SecretType) (*corev1.SecretList, error) {
	list, err := c.client.CoreV1().Secrets(namespace).List(ctx, metav1.ListOptions{
		FieldSelector:   fields.OneTermEqualSelector("type", string(secretType)).String(),
		ResourceVersion: "", // a secret made a moment ago counts
	})
	if err != nil {
		return nil, fmt.Errorf("listing the secrets of type %s in namespace %s: %w", secretType, namespace, err)
	}
	return list, nil
}

// oldest is the least resourceVersion of lists.
func oldest(lists []*corev1.SecretList) string {
	return slices.MinFunc(lists, func(a, b *corev1.SecretList) int {
		order, err := resourceversion.CompareResourceVersion(a.ResourceVersion, b.ResourceVersion)
		if err != nil {
			return 0 // the first, as good as any: a host whose versions have no order
		}
		return order
	}).ResourceVersion
}
