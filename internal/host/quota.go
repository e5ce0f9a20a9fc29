package host

import (
	"fmt"

	"k8s.io/apiserver/pkg/admission"
	admissioninitializer "k8s.io/apiserver/pkg/admission/initializer"
	quota "k8s.io/apiserver/pkg/quota/v1"
	"k8s.io/apiserver/pkg/quota/v1/generic"
	serverstorage "k8s.io/apiserver/pkg/server/storage"
	"k8s.io/client-go/informers"
	quotainstall "k8s.io/kubernetes/pkg/quota/v1/install"
)

// quotaPlugins gives the ResourceQuota plugin the evaluators of Kubernetes and
// of the extension; it comes after Kubernetes' own initializer and replaces what
// that one set.
type quotaPlugins struct{ configuration quota.Configuration }

func quotaInitializer(f informers.SharedInformerFactory, served serverstorage.APIResourceConfigSource, more func(quota.ListerForResourceFunc) []quota.Evaluator) (admission.PluginInitializer, error) {
	base, err := quotainstall.NewQuotaConfigurationForAdmission(f, served)
	if err != nil {
		return nil, fmt.Errorf("configuring quotas: %w", err)
	}
	evaluators := base.Evaluators()
	if more != nil {
		evaluators = append(evaluators, more(nil)...)
	}
	return quotaPlugins{generic.NewConfiguration(evaluators, base.IgnoredResources())}, nil
}

func (q quotaPlugins) Initialize(plugin admission.Interface) {
	if wants, ok := plugin.(admissioninitializer.WantsQuotaConfiguration); ok {
		wants.SetQuotaConfiguration(q.configuration)
	}
}
