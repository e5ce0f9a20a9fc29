package registryclients_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"math/big"
	"testing"
	"time"

	"github.com/notaryproject/notation-go"
	notationregistry "github.com/notaryproject/notation-go/registry"
	"github.com/notaryproject/notation-go/signer"
	"github.com/notaryproject/notation-go/verifier"
	"github.com/notaryproject/notation-go/verifier/trustpolicy"
	"github.com/notaryproject/notation-go/verifier/truststore"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2/registry/remote"

	"weir.dev/weir/internal/testenv"
)

// authority signs with a certificate of its own.
type authority struct {
	certificate *x509.Certificate
	signer      *signer.GenericSigner
}

func newAuthority(t testing.TB, name string) authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name, Organization: []string{"Weir"}, Country: []string{"EU"}, Province: []string{"-"}},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning}, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	a := authority{}
	if a.certificate, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	if a.signer, err = signer.NewGenericSigner(key, []*x509.Certificate{a.certificate}); err != nil {
		t.Fatal(err)
	}
	return a
}

// GetCertificates implements truststore.X509TrustStore: the authority trusts itself.
func (a authority) GetCertificates(context.Context, truststore.Type, string) ([]*x509.Certificate, error) {
	return []*x509.Certificate{a.certificate}, nil
}

// sign signs a manifest as `notation sign` does, which this is the library of.
func (a authority) sign(t testing.TB, in *remote.Repository, reference, envelope string) {
	t.Helper()
	_, err := notation.Sign(t.Context(), a.signer, notationregistry.NewRepository(in), notation.SignOptions{
		SignerSignOptions: notation.SignerSignOptions{SignatureMediaType: envelope}, ArtifactReference: reference,
	})
	if err != nil {
		t.Fatalf("signing %s: %v", reference, err)
	}
}

// verify verifies as `notation verify` does.
func (a authority) verify(t testing.TB, in *remote.Repository, reference string) (ocispec.Descriptor, error) {
	t.Helper()
	v, err := verifier.New(&trustpolicy.Document{Version: "1.0", TrustPolicies: []trustpolicy.TrustPolicy{{
		Name: "all", RegistryScopes: []string{"*"}, TrustStores: []string{"ca:these"}, TrustedIdentities: []string{"*"},
		SignatureVerification: trustpolicy.SignatureVerification{VerificationLevel: "strict", Override: map[trustpolicy.ValidationType]trustpolicy.ValidationAction{
			trustpolicy.TypeRevocation: trustpolicy.ActionSkip, // there is nobody to ask on a test's certificate
		}},
	}}}, a, nil)
	if err != nil {
		t.Fatal(err)
	}
	d, _, err := notation.Verify(t.Context(), v, notationregistry.NewRepository(in), notation.VerifyOptions{
		ArtifactReference: reference, MaxSignatureAttempts: 10,
	})
	return d, err
}

// Notation's signatures, in both of its envelopes, are referrers of what they sign: they
// are found and verified, also anonymously, they are no tags, and who did not sign is not
// believed.
func TestNotationSignsAndVerifies(t *testing.T) {
	p := newProject(t)
	in := p.oras(t, "team/web", p.editor)
	image := attach(t, in, "application/vnd.example.config", "text/plain", "the image", nil)
	if err := in.Tag(t.Context(), image, "1"); err != nil {
		t.Fatal(err)
	}
	p.pushed(t, "team/web", "1")
	one, two, stranger := newAuthority(t, "one"), newAuthority(t, "two"), newAuthority(t, "stranger")

	reference := p.ref("team/web") + "@" + image.Digest.String()
	if _, err := one.verify(t, in, reference); err == nil {
		t.Error("verified without a signature")
	}
	one.sign(t, in, reference, "application/jose+json")
	two.sign(t, in, reference, "application/cose")
	p.tags(t, "team/web", "1")
	if found := p.referrers(t, "team/web", image.Digest.String(), notationType); len(found) != 2 {
		t.Errorf("%d signatures are listed, want 2", len(found))
	}
	for name, by := range map[string]authority{"one": one, "two": two} {
		if d, err := by.verify(t, in, reference); err != nil || d.Digest != image.Digest {
			t.Errorf("%s: verified %s, %v", name, d.Digest, err)
		}
	}
	p.letEverybodyPull(t)
	nobody := p.oras(t, "team/web", login{})
	testenv.Eventually(t, "nobody to verify", func() error {
		_, err := one.verify(t, nobody, reference)
		return err
	})
	var failed notation.VerificationFailedError
	if _, err := stranger.verify(t, in, reference); !errors.As(err, &failed) {
		t.Errorf("a stranger's verification: %v", err)
	}
}
