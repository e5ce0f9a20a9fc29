package pullsecrets

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
)

func FuzzSecrets(f *testing.F) {
	f.Add(`{"auths":{"quay.io":{"auth":"dTpw"}}}`, "quay.io", "a/b")
	f.Add(`{"https://index.docker.io/v1/":{"username":"u","password":"p"}}`, "docker.io", "library/x")
	f.Add(`{"auths":{"[a-":{"auth":"!"},"*.x:5000/p":{"identitytoken":"i"}}}`, "a.x:5000", "path")
	f.Add(`null`, "", "")
	f.Fuzz(func(t *testing.T, content, host, path string) {
		secrets := []corev1.Secret{configSecret("a", content), configSecret("good", auths("good.test"))}
		secrets = append(secrets, corev1.Secret{Type: corev1.SecretTypeDockercfg, Data: map[string][]byte{corev1.DockerConfigKey: []byte(content)}})
		creds, _ := New(secrets, nil)
		if got := creds.Lookup(host, path); len(got) > maxMatches {
			t.Errorf("%d credentials", len(got))
		}
		found := false
		for _, c := range creds.Lookup("good.test", "x") {
			found = found || c.Username == "good.test"
		}
		if !found && len(creds.Lookup("good.test", "x")) < maxMatches {
			t.Error("a secret took another with it")
		}
	})
}
