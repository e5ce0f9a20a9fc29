package hostclient

import (
	"context"
	"encoding/json"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/klog/v2"
)

// legacyIssuer is that of the tokens that are kept in Secrets, in every API server.
const legacyIssuer = "kubernetes/serviceaccount"

// AccountIssuers returns the issuers of the API server's service account tokens, none if they cannot
// be read: all accounts count as its own then.
func AccountIssuers(ctx context.Context, host *rest.Config) []string {
	client, err := kubernetes.NewForConfig(host)
	var body []byte
	if err == nil {
		body, err = client.RESTClient().Get().AbsPath("/.well-known/openid-configuration").DoRaw(ctx)
	}
	var document struct {
		Issuer string `json:"issuer"`
	}
	if err == nil {
		err = json.Unmarshal(body, &document)
	}
	if err != nil || document.Issuer == "" {
		klog.FromContext(ctx).Info("The issuer of the API server's tokens is not known: all service accounts are taken for its own", "err", err)
		return nil
	}
	return []string{document.Issuer, legacyIssuer}
}
