package host

import (
	"fmt"
	"os"

	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// writeKubeconfig writes a kubeconfig (mode 0600) that carries everything a
// client needs to be the cluster-admin: address, authority, certificate, key.
// tlsName is the name to ask the server's certificate for, "" for that in server.
func (p pki) writeKubeconfig(path, server, tlsName string) error {
	files := map[string][]byte{}
	for _, name := range []string{"ca.crt", "admin.crt", "admin.key"} {
		data, err := os.ReadFile(p.path(name))
		if err != nil {
			return fmt.Errorf("writing %s: %w", path, err)
		}
		files[name] = data
	}
	const cluster, user, kubeContext = "weir", "weir-admin", "weir"
	data, err := clientcmd.Write(clientcmdapi.Config{
		Clusters:       map[string]*clientcmdapi.Cluster{cluster: {Server: server, TLSServerName: tlsName, CertificateAuthorityData: files["ca.crt"]}},
		AuthInfos:      map[string]*clientcmdapi.AuthInfo{user: {ClientCertificateData: files["admin.crt"], ClientKeyData: files["admin.key"]}},
		Contexts:       map[string]*clientcmdapi.Context{kubeContext: {Cluster: cluster, AuthInfo: user, Namespace: "default"}},
		CurrentContext: kubeContext,
	})
	if err != nil {
		return fmt.Errorf("encoding %s: %w", path, err)
	}
	return writeFile(path, data)
}
