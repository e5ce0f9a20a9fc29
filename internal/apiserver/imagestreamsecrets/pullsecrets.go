package imagestreamsecrets

import (
	"context"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"

	"weir.dev/weir/internal/imageapi"
)

// PullSecrets returns the Secrets of a namespace with credentials for registries,
// sorted by name, whole. A namespace that does not exist has none. Errors are API
// errors of the server that keeps the Secrets, wrapped.
type PullSecrets func(ctx context.Context, namespace string) ([]corev1.Secret, error)

// pullSecretTypes are the two formats of credentials for registries.
var pullSecretTypes = []corev1.SecretType{corev1.SecretTypeDockercfg, corev1.SecretTypeDockerConfigJson}

// From reads pull secrets with the identity of client, at the time they are asked
// for: an import is to find the secret that was made for it a moment ago. The types
// are selected by the server, whose watch cache answers, so that the other Secrets
// of a namespace (release histories of a megabyte each, say) stay where they are.
func From(client corev1client.SecretsGetter) PullSecrets {
	return func(ctx context.Context, namespace string) ([]corev1.Secret, error) {
		var secrets []corev1.Secret
		for _, kind := range pullSecretTypes {
			selector := fields.OneTermEqualSelector("type", string(kind)).String()
			list, err := client.Secrets(namespace).List(ctx, metav1.ListOptions{FieldSelector: selector})
			if err != nil {
				return nil, fmt.Errorf("listing the secrets of type %s in namespace %s: %w", kind, namespace, err)
			}
			secrets = append(secrets, list.Items...)
		}
		secrets = slices.DeleteFunc(secrets, excluded)
		slices.SortFunc(secrets, func(a, b corev1.Secret) int { return strings.Compare(a.Name, b.Name) })
		return secrets, nil
	}
}

// excluded tells a secret whose owner wants it kept from imports.
func excluded(s corev1.Secret) bool {
	return s.Annotations[imageapi.AnnotationExcludeSecret] == "true"
}
