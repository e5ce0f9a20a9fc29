package host

import (
	"fmt"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	certificatesv1 "k8s.io/api/certificates/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	flowcontrolv1 "k8s.io/api/flowcontrol/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apiserver/pkg/registry/generic"
	genericapiserver "k8s.io/apiserver/pkg/server"
	serverstorage "k8s.io/apiserver/pkg/server/storage"
	controlplaneapiserver "k8s.io/kubernetes/pkg/controlplane/apiserver"
	limitrangestore "k8s.io/kubernetes/pkg/registry/core/limitrange/storage"
	rbacrest "k8s.io/kubernetes/pkg/registry/rbac/rest"

	// Each of these registers a group's types, defaults and conversions.
	_ "k8s.io/kubernetes/pkg/apis/admission/install"
	_ "k8s.io/kubernetes/pkg/apis/admissionregistration/install"
	_ "k8s.io/kubernetes/pkg/apis/apiserverinternal/install"
	_ "k8s.io/kubernetes/pkg/apis/authentication/install"
	_ "k8s.io/kubernetes/pkg/apis/authorization/install"
	_ "k8s.io/kubernetes/pkg/apis/certificates/install"
	_ "k8s.io/kubernetes/pkg/apis/coordination/install"
	_ "k8s.io/kubernetes/pkg/apis/core/install"
	_ "k8s.io/kubernetes/pkg/apis/events/install"
	_ "k8s.io/kubernetes/pkg/apis/flowcontrol/install"
	_ "k8s.io/kubernetes/pkg/apis/rbac/install"
	_ "k8s.io/kubernetes/pkg/apis/storagemigration/install"
)

// servedVersions are the stable versions of the groups a host without nodes has.
func servedVersions() *serverstorage.ResourceConfig {
	served := serverstorage.NewResourceConfig()
	served.EnableVersions(
		admissionregistrationv1.SchemeGroupVersion,
		authenticationv1.SchemeGroupVersion,
		authorizationv1.SchemeGroupVersion,
		certificatesv1.SchemeGroupVersion,
		coordinationv1.SchemeGroupVersion,
		corev1.SchemeGroupVersion,
		eventsv1.SchemeGroupVersion,
		flowcontrolv1.SchemeGroupVersion,
		rbacv1.SchemeGroupVersion,
	)
	// What runs on nodes is not here: nothing may wait for informers of it.
	for _, absent := range []string{"pods", "services", "persistentvolumeclaims", "nodes", "replicationcontrollers"} {
		served.DisableResources(corev1.SchemeGroupVersion.WithResource(absent))
	}
	return served
}

// withLocalResources adds to Kubernetes' generic resources what image streams
// need besides: limit ranges in the core group, and Weir's roles among those
// that are brought up to date at each start.
func withLocalResources(providers []controlplaneapiserver.RESTStorageProvider) []controlplaneapiserver.RESTStorageProvider {
	out := make([]controlplaneapiserver.RESTStorageProvider, 0, len(providers))
	for _, p := range providers {
		switch {
		case p.GroupName() == corev1.GroupName:
			p = coreWithLimitRanges{p}
		case p.GroupName() == rbacv1.GroupName:
			p = rbacWithImageRoles{p.(rbacrest.RESTStorageProvider)}
		}
		out = append(out, p)
	}
	return out
}

type coreWithLimitRanges struct {
	controlplaneapiserver.RESTStorageProvider
}

func (p coreWithLimitRanges) NewRESTStorage(source serverstorage.APIResourceConfigSource, getter generic.RESTOptionsGetter) (genericapiserver.APIGroupInfo, error) {
	info, err := p.RESTStorageProvider.NewRESTStorage(source, getter)
	if err != nil {
		return info, err
	}
	limitRanges, err := limitrangestore.NewREST(getter)
	if err != nil {
		return info, fmt.Errorf("making the store of limit ranges: %w", err)
	}
	info.VersionedResourcesStorageMap["v1"]["limitranges"] = limitRanges
	return info, nil
}
