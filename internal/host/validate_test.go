package host

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	utilerrors "k8s.io/apimachinery/pkg/util/errors"
	certutil "k8s.io/client-go/util/cert"
	cliflag "k8s.io/component-base/cli/flag"
)

// files writes two pairs of certificate and key.
func files(t *testing.T) (cert, key, otherKey string) {
	t.Helper()
	dir := t.TempDir()
	write := func(name string, data []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	pair := func(name string) (string, string) {
		c, k, err := certutil.GenerateSelfSignedCertKey(name, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		return write(name+".crt", c), write(name+".key", k)
	}
	cert, key = pair("one")
	_, otherKey = pair("other")
	return cert, key, otherKey
}

func TestValidate(t *testing.T) {
	cert, key, otherKey := files(t)
	write := func(name, text string) string {
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	const authentication = "apiVersion: apiserver.config.k8s.io/v1\nkind: AuthenticationConfiguration\njwt:\n"
	tab := write("tab.yaml", "apiVersion: v1\n\tkind: x\n")
	noIssuer := write("no-issuer.yaml", authentication+"- claimMappings: {username: {claim: sub, prefix: ''}}\n")
	issuer := write("issuer.yaml", authentication+"- issuer: {url: https://login.example.com, audiences: [weir]}\n  claimMappings: {username: {claim: sub, prefix: ''}}\n")
	manyTraces := write("traces.yaml", "apiVersion: apiserver.config.k8s.io/v1\nkind: TracingConfiguration\nsamplingRatePerMillion: 2000000\n")
	for name, test := range map[string]struct {
		change func(*Options)
		want   []string
	}{
		"defaults":            {func(*Options) {}, nil},
		"a pair":              {func(o *Options) { setServing(o, cert, key) }, nil},
		"a certificate alone": {func(o *Options) { setServing(o, cert, "") }, []string{"--tls-cert-file and --tls-private-key-file must be set together"}},
		"another's key":       {func(o *Options) { setServing(o, cert, otherKey) }, []string{"--tls-cert-file " + cert, "--tls-private-key-file " + otherKey, "does not match"}},
		"a missing file":      {func(o *Options) { setServing(o, cert+"x", key) }, []string{"--tls-cert-file " + cert + "x", "no such file"}},
		"a name's certificate": {func(o *Options) {
			o.ControlPlane.SecureServing.SNICertKeys = []cliflag.NamedCertKey{{CertFile: cert, KeyFile: otherKey}}
		}, []string{"--tls-sni-cert-key " + cert}},
		"etcd's key alone":     {func(o *Options) { o.ControlPlane.Etcd.StorageConfig.Transport.KeyFile = key }, []string{"--etcd-certfile and --etcd-keyfile must be set together"}},
		"a log without policy": {func(o *Options) { o.ControlPlane.Audit.LogOptions.Path = "-" }, []string{"--audit-log-path needs --audit-policy-file"}},
		"a webhook without policy": {func(o *Options) { o.ControlPlane.Audit.WebhookOptions.ConfigFile = cert },
			[]string{"--audit-webhook-config-file needs --audit-policy-file"}},
		"a policy with a tab": {func(o *Options) { o.ControlPlane.Audit.PolicyFile = tab },
			[]string{"--audit-policy-file", tab, "tabs are not allowed"}},
		"an authentication with a tab": {func(o *Options) { o.ControlPlane.Authentication.AuthenticationConfigFile = tab },
			[]string{"--authentication-config", tab, "tabs are not allowed"}},
		"an authentication without an issuer": {func(o *Options) { o.ControlPlane.Authentication.AuthenticationConfigFile = noIssuer },
			[]string{"--authentication-config", "jwt[0].issuer.url"}},
		"an authentication": {func(o *Options) { o.ControlPlane.Authentication.AuthenticationConfigFile = issuer }, nil},
		"traces with a tab": {func(o *Options) { o.ControlPlane.Traces.ConfigFile = tab },
			[]string{"--tracing-config-file " + tab, "tabs are not allowed"}},
		"traces of more than all": {func(o *Options) { o.ControlPlane.Traces.ConfigFile = manyTraces },
			[]string{"--tracing-config-file " + manyTraces, "samplingRatePerMillion"}},
		"a policy that is none": {func(o *Options) { o.ControlPlane.Audit.PolicyFile = cert }, []string{"--audit-policy-file", cert}},
	} {
		t.Run(name, func(t *testing.T) {
			o := NewOptions()
			test.change(o)
			err := utilerrors.NewAggregate(o.Validate())
			if (err == nil) != (test.want == nil) {
				t.Fatalf("%v, want %q", err, test.want)
			}
			for _, want := range test.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%v lacks %q", err, want)
				}
			}
		})
	}
}

// Events of the evening are there in the morning, unless the flag says otherwise.
func TestEventsOutliveANight(t *testing.T) {
	o := NewOptions()
	if got := o.ControlPlane.EventTTL; got != 12*time.Hour {
		t.Errorf("Events are kept for %s, want 12h", got)
	}
	var sections cliflag.NamedFlagSets
	o.AddFlags(&sections)
	for _, fs := range sections.FlagSets {
		if fs.Lookup("event-ttl") == nil {
			continue
		}
		if err := fs.Set("event-ttl", "2h"); err != nil || o.ControlPlane.EventTTL != 2*time.Hour {
			t.Errorf("--event-ttl=2h: %v, Events are kept for %s", err, o.ControlPlane.EventTTL)
		}
	}
}

func setServing(o *Options, cert, key string) {
	pair := &o.ControlPlane.SecureServing.ServerCert.CertKey
	pair.CertFile, pair.KeyFile = cert, key
}

// Beside another certificate, at whatever address, the admin's kubeconfig asks for Weir's own
// by a name, which leaves the address to the other one.
func TestOwnNameBesideAnotherCertificate(t *testing.T) {
	cert, key, _ := files(t)
	for address, names := range map[string]string{"10.1.2.3": ownName, "127.0.0.1": ownName + ",127.0.0.1", "0.0.0.0": ownName + ",127.0.0.1"} {
		o := NewOptions()
		o.ControlPlane.SecureServing.BindAddress = net.ParseIP(address)
		p := pki{dir: t.TempDir()}
		if name, err := o.useKeys(p); err != nil || name != "" {
			t.Errorf("at %s without another certificate: %q, %v", address, name, err)
		}
		o = NewOptions()
		o.ControlPlane.SecureServing.BindAddress = net.ParseIP(address)
		setServing(o, cert, key)
		name, err := o.useKeys(p)
		pairs := o.ControlPlane.SecureServing.SNICertKeys
		if err != nil || name != ownName || len(pairs) != 1 || strings.Join(pairs[0].Names, ",") != names || pairs[0].CertFile != p.path("apiserver.crt") {
			t.Errorf("at %s: %q, %v, %v", address, name, pairs, err)
		}
	}
}
