package apiserver

import (
	"context"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"

	"weir.dev/weir/internal/imageapi"
)

// pullSecretTypes are the types of secrets that hold credentials for registries.
var pullSecretTypes = []corev1.SecretType{corev1.SecretTypeDockercfg, corev1.SecretTypeDockerConfigJson}

// pullSecrets lists the pull secrets of a namespace with the server's own
// identity, less those that are marked to be left out, by name. The host selects
// the types, so that other secrets (release histories of a megabyte each, say)
// stay where they are. The resourceVersion is that of the first of the lists: all later
// changes are events of a watch from there.
func (c Config) pullSecrets(ctx context.Context, namespace string) (*corev1.SecretList, error) {
	found := &corev1.SecretList{}
	for _, secretType := range pullSecretTypes {
		list, err := c.Host.CoreV1().Secrets(namespace).List(ctx, metav1.ListOptions{
			FieldSelector:   fields.OneTermEqualSelector("type", string(secretType)).String(),
			ResourceVersion: "", // a secret made a moment ago counts
		})
		if err != nil {
			return nil, fmt.Errorf("listing the secrets of type %s in namespace %s: %w", secretType, namespace, err)
		}
		if found.ResourceVersion == "" {
			found.ResourceVersion = list.ResourceVersion
		}
		for i := range list.Items {
			if list.Items[i].Annotations[imageapi.AnnotationExcludeSecret] != "true" {
				found.Items = append(found.Items, list.Items[i])
			}
		}
	}
	slices.SortFunc(found.Items, func(a, b corev1.Secret) int { return strings.Compare(a.Name, b.Name) })
	return found, nil
}
