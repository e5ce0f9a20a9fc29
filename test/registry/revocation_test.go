package registry_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509/pkix"
	"encoding/base64"
	"errors"
	"net/http"
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"
	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/util/cert"
	"k8s.io/client-go/util/keyutil"

	"weir.dev/weir/internal/auth/roles"
	"weir.dev/weir/internal/testenv"
)

// withToken is a client config with a token of the API instead of the administrator's
// certificate.
func withToken(token string) *rest.Config {
	c := rest.AnonymousClientConfig(env.Config)
	c.BearerToken = token
	return c
}

// endsSoon waits until the registry and its token endpoint refuse each of the passwords.
func (s shop) endsSoon(t *testing.T, passwords map[string]string) {
	t.Helper()
	for what, password := range passwords {
		testenv.Eventually(t, what+" to end", func() error {
			return answered(http.StatusUnauthorized, s.send(t, http.MethodGet, s.path("tags/list"), basic(password)))
		})
		s.want(t, http.StatusUnauthorized, http.MethodGet, "/openshift/token?scope="+s.scope("pull"), basic(password))
		s.want(t, http.StatusUnauthorized, http.MethodGet, "/v2/", bearer(password))
	}
}

// Passwords and tokens of the registry end with the service account that they were issued
// for, and none of them is one of the account that is made under its name.
func TestPasswordsEndWithTheirAccount(t *testing.T) {
	t.Parallel() // it waits for answers to be forgotten
	s := newShop(t)
	account := s.account(t, "builder", roles.RegistryEditor)
	accounts := env.Kube.CoreV1().ServiceAccounts(s.namespace)
	testenv.Eventually(t, "the account's rights", func() error {
		return answered(http.StatusOK, s.send(t, http.MethodGet, s.path("tags/list"), basic(account)))
	})
	passwords := map[string]string{
		"a password":         passwordFor(t, withToken(account), `{"spec":{"expirationSeconds":3000}}`).Status.Token,
		"an administrator's": passwordFor(t, env.As("system:serviceaccount:"+s.namespace+":builder"), "{}").Status.Token,
		"a token":            s.token(t, account, s.scope("pull,push")),
		"the account's own":  account,
	}
	passwords["a token for a password"] = s.token(t, passwords["a password"], s.scope("pull"))
	for what, password := range passwords {
		if err := answered(http.StatusOK, s.send(t, http.MethodGet, "/v2/", basic(password))); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
	}
	if err := accounts.Delete(t.Context(), "builder", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := accounts.Create(t.Context(), &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "builder"}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	s.endsSoon(t, passwords)
}

// A password ends with the token that bought it: at its time, and with the Secret that it is
// bound to.
func TestPasswordsEndWithTheirToken(t *testing.T) {
	t.Parallel() // it waits for answers to be forgotten
	s := newShop(t)
	s.account(t, "builder", roles.RegistryEditor)
	secrets := env.Kube.CoreV1().Secrets(s.namespace)
	secret, err := secrets.Create(t.Context(), &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "bound"}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	bound, err := env.Kube.CoreV1().ServiceAccounts(s.namespace).CreateToken(t.Context(), "builder", &authenticationv1.TokenRequest{
		Spec: authenticationv1.TokenRequestSpec{
			ExpirationSeconds: new(int64(600)),
			BoundObjectRef:    &authenticationv1.BoundObjectReference{APIVersion: "v1", Kind: "Secret", Name: secret.Name, UID: secret.UID},
		},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	testenv.Eventually(t, "the account's rights", func() error {
		return answered(http.StatusOK, s.send(t, http.MethodGet, s.path("tags/list"), basic(bound.Status.Token)))
	})
	password := passwordFor(t, withToken(bound.Status.Token), `{"spec":{"expirationSeconds":43200}}`)
	if got, end := password.Status.ExpirationTimestamp, bound.Status.ExpirationTimestamp; got.After(end.Time) {
		t.Errorf("the password for a token that ends at %s ends at %s", end, got)
	}
	passwords := map[string]string{"the password": password.Status.Token, "a token": s.token(t, bound.Status.Token, s.scope("pull")), "the account's own": bound.Status.Token}
	s.want(t, http.StatusOK, http.MethodGet, s.path("tags/list"), basic(password.Status.Token))
	if err := secrets.Delete(t.Context(), "bound", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	s.endsSoon(t, passwords)
}

// A token that is kept in a Secret never expires: what it buys ends with the Secret.
func TestPasswordsEndWithTheSecretOfTheirToken(t *testing.T) {
	t.Parallel() // it waits for answers to be forgotten
	s := newShop(t)
	s.account(t, "builder", roles.RegistryEditor)
	secrets := env.Kube.CoreV1().Secrets(s.namespace)
	if _, err := secrets.Create(t.Context(), &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: "kept", Annotations: map[string]string{corev1.ServiceAccountNameKey: "builder"}},
		Type:       corev1.SecretTypeServiceAccountToken,
	}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	var kept string
	testenv.Eventually(t, "the Secret to have a token", func() error {
		secret, err := secrets.Get(t.Context(), "kept", metav1.GetOptions{})
		if err != nil {
			return err
		}
		kept = string(secret.Data[corev1.ServiceAccountTokenKey])
		return answered(http.StatusOK, s.send(t, http.MethodGet, s.path("tags/list"), basic(kept)))
	})
	passwords := map[string]string{
		"the password":      passwordFor(t, withToken(kept), "{}").Status.Token,
		"a token":           s.token(t, kept, s.scope("pull")),
		"the account's own": kept,
	}
	if err := secrets.Delete(t.Context(), "kept", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	s.endsSoon(t, passwords)
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// The API takes tokens from websocket protocols as well, where their end is not looked for:
// such a request gets no password, whatever else it shows.
func TestNoPasswordForATokenAmongProtocols(t *testing.T) {
	s := newShop(t)
	token := s.account(t, "builder", "")
	config := rest.AnonymousClientConfig(env.Config)
	config.Wrap(func(next http.RoundTripper) http.RoundTripper {
		return roundTripper(func(r *http.Request) (*http.Response, error) {
			r = r.Clone(r.Context())
			r.Header.Set("Connection", "Upgrade")
			r.Header.Set("Upgrade", "websocket")
			r.Header.Set("Sec-WebSocket-Protocol", "x,base64url.bearer.authorization.k8s.io."+base64.RawURLEncoding.EncodeToString([]byte(token)))
			return next.RoundTrip(r)
		})
	})
	config.NextProtos = []string{"http/1.1"}
	if code, answer := asked(t, config, "{}"); code != http.StatusForbidden {
		t.Errorf("%d %s", code, answer)
	}
}

// clientCertificate is a config for a user with a certificate that was requested, approved and
// signed as Kubernetes has it.
func clientCertificate(t *testing.T, user string, seconds int32) *rest.Config {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	request, err := cert.MakeCSR(key, &pkix.Name{CommonName: user}, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	requests := env.Kube.CertificatesV1().CertificateSigningRequests()
	csr, err := requests.Create(t.Context(), &certificatesv1.CertificateSigningRequest{
		ObjectMeta: metav1.ObjectMeta{GenerateName: "test-"},
		Spec: certificatesv1.CertificateSigningRequestSpec{
			Request: request, SignerName: certificatesv1.KubeAPIServerClientSignerName, ExpirationSeconds: &seconds,
			Usages: []certificatesv1.KeyUsage{certificatesv1.UsageClientAuth},
		},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	csr.Status.Conditions = []certificatesv1.CertificateSigningRequestCondition{{Type: certificatesv1.CertificateApproved, Status: corev1.ConditionTrue, Reason: "Test"}}
	if _, err := requests.UpdateApproval(t.Context(), csr.Name, csr, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	testenv.Eventually(t, "the certificate", func() error {
		if csr, err = requests.Get(t.Context(), csr.Name, metav1.GetOptions{}); err == nil && len(csr.Status.Certificate) == 0 {
			err = errors.New("it is not issued")
		}
		return err
	})
	keyPEM, err := keyutil.MarshalPrivateKeyToPEM(key)
	if err != nil {
		t.Fatal(err)
	}
	config := rest.AnonymousClientConfig(env.Config)
	config.CertData, config.KeyData = csr.Status.Certificate, keyPEM
	return config
}

// A client certificate can be requested, identifies its user, and its passwords end with it.
func TestPasswordsEndWithTheirCertificate(t *testing.T) {
	config := clientCertificate(t, "carol", 600)
	self, err := kubernetes.NewForConfigOrDie(config).AuthenticationV1().SelfSubjectReviews().Create(t.Context(), &authenticationv1.SelfSubjectReview{}, metav1.CreateOptions{})
	if err != nil || self.Status.UserInfo.Username != "carol" {
		t.Fatalf("the certificate is of %+v, %v", self, err)
	}
	certificates, err := cert.ParseCertsPEM(config.CertData)
	if err != nil {
		t.Fatal(err)
	}
	password := passwordFor(t, config, `{"spec":{"expirationSeconds":43200}}`)
	if got, end := password.Status.ExpirationTimestamp, certificates[0].NotAfter; got.After(end) {
		t.Errorf("the password for a certificate that ends at %s ends at %s", end, got)
	}
	shop{}.want(t, http.StatusOK, http.MethodGet, "/v2/", basic(password.Status.Token))
}
