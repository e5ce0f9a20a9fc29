package host

import (
	"errors"
	"fmt"

	auditpolicy "k8s.io/apiserver/pkg/audit/policy"
	genericoptions "k8s.io/apiserver/pkg/server/options"
	utilfeature "k8s.io/apiserver/pkg/util/feature"
	tracingapi "k8s.io/component-base/tracing/api/v1"
	kubeoptions "k8s.io/kubernetes/pkg/kubeapiserver/options"

	"weir.dev/weir/internal/inbound"
	"weir.dev/weir/internal/yamlhint"
)

// Validate reports what is wrong with flags that Kubernetes takes without a word, or refuses
// without their names.
func (o *Options) Validate() []error {
	cp := o.ControlPlane
	serving := cp.SecureServing.ServerCert.CertKey
	errs := []error{
		inbound.CheckCertificate("--tls-cert-file", serving.CertFile, "--tls-private-key-file", serving.KeyFile),
		inbound.CheckCertificate("--proxy-client-cert-file", cp.ProxyClientCertFile, "--proxy-client-key-file", cp.ProxyClientKeyFile),
		o.validateAudit(),
		o.validateAuthentication(),
		o.validateTracing(),
		services(o.Services).validate(),
	}
	transport := cp.Etcd.StorageConfig.Transport
	errs = append(errs, inbound.CheckCertificate("--etcd-certfile", transport.CertFile, "--etcd-keyfile", transport.KeyFile))
	for _, pair := range cp.SecureServing.SNICertKeys {
		errs = append(errs, inbound.CheckCertificate("--tls-sni-cert-key", pair.CertFile, "its key", pair.KeyFile))
	}
	return errs
}

// validateAudit wants a policy for every audit log: without one nothing is written to it.
func (o *Options) validateAudit() error {
	audit := o.ControlPlane.Audit
	switch {
	case audit == nil:
		return nil
	case audit.PolicyFile != "":
		if _, err := auditpolicy.LoadPolicyFromFile(audit.PolicyFile); err != nil {
			return fmt.Errorf("--audit-policy-file: %w", yamlhint.Add(err))
		}
		return nil
	case audit.LogOptions.Path != "":
		return errors.New("--audit-log-path needs --audit-policy-file: without a policy nothing is written to the audit log")
	case audit.WebhookOptions.ConfigFile != "":
		return errors.New("--audit-webhook-config-file needs --audit-policy-file: without a policy nothing is sent")
	}
	return nil
}

// validateAuthentication reads --authentication-config as the server does.
func (o *Options) validateAuthentication() error {
	authentication := o.ControlPlane.Authentication
	if authentication == nil || authentication.AuthenticationConfigFile == "" {
		return nil
	}
	// What else there is needs keys that are made later.
	alone := kubeoptions.BuiltInAuthenticationOptions{AuthenticationConfigFile: authentication.AuthenticationConfigFile, Anonymous: authentication.Anonymous}
	if _, err := alone.ToAuthenticationConfig(); err != nil {
		return fmt.Errorf("--authentication-config: %w", yamlhint.Add(err))
	}
	return nil
}

// validateTracing reads --tracing-config-file as the server does.
func (o *Options) validateTracing() error {
	traces := o.ControlPlane.Traces
	if traces == nil || traces.ConfigFile == "" {
		return nil
	}
	config, err := genericoptions.ReadTracingConfiguration(traces.ConfigFile)
	if err == nil {
		err = tracingapi.ValidateTracingConfiguration(config, utilfeature.DefaultFeatureGate, nil).ToAggregate()
	}
	if err != nil {
		return fmt.Errorf("--tracing-config-file %s: %w", traces.ConfigFile, yamlhint.Add(err))
	}
	return nil
}
