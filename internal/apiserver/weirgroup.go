package apiserver

import (
	"cmp"
	"fmt"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/registry/rest"
	genericapiserver "k8s.io/apiserver/pkg/server"
	"k8s.io/client-go/metadata"

	"weir.dev/weir/internal/apiserver/imagestream"
	"weir.dev/weir/internal/apiserver/registrytoken"
	"weir.dev/weir/internal/apiserver/scheduledtag"
	"weir.dev/weir/internal/auth/credential"
	"weir.dev/weir/internal/auth/tokens"
	weirv1alpha1 "weir.dev/weir/internal/weirapi/v1alpha1"
)

// installWeirGroup has the server serve weir.dev, the group of what Weir has beyond the
// image API.
func (c Config) installWeirGroup(server *genericapiserver.GenericAPIServer, streams *imagestream.Registry) error {
	scheme, codecs := weirv1alpha1.NewScheme()
	issuer := tokens.NewIssuer(tokens.NewKeys(tokens.KeyOptions{
		Secrets:     c.client.CoreV1().Secrets(cmp.Or(c.RegistryKey.Namespace, tokens.DefaultNamespace)),
		Name:        c.RegistryKey.Name,
		RotateAfter: c.RegistryKey.MaxAge,
	}), c.Caches)
	objects, err := metadata.NewForConfig(c.Host)
	if err != nil {
		return fmt.Errorf("making the client of what tokens are bound to: %w", err)
	}
	group := genericapiserver.APIGroupInfo{
		PrioritizedVersions: scheme.PrioritizedVersionsForGroup(weirv1alpha1.GroupName),
		VersionedResourcesStorageMap: map[string]map[string]rest.Storage{weirv1alpha1.GroupVersion.Version: {
			weirv1alpha1.RegistryTokens: registrytoken.NewREST(issuer, credential.NewObjects(objects, c.AccountIssuers, c.Caches, nil)),
			weirv1alpha1.ScheduledTags:  scheduledtag.NewREST(streams, c.ImportIntervals, c.CheckedUntil),
		}},
		OptionsExternalVersion: &metaVersion,
		Scheme:                 scheme,
		ParameterCodec:         runtime.NewParameterCodec(scheme),
		NegotiatedSerializer:   codecs,
	}
	if err := server.InstallAPIGroup(&group); err != nil {
		return fmt.Errorf("installing %s: %w", weirv1alpha1.GroupName, err)
	}
	return nil
}
