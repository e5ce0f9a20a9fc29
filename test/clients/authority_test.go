package clients_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	imagev1 "github.com/openshift/api/image/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"weir.dev/weir/internal/standalone"
	"weir.dev/weir/internal/testenv"
	"weir.dev/weir/internal/testenv/upstreamregistry"
)

// TestAuthoritiesOfRegistries imports over HTTPS from a registry whose authority is in
// --import-ca-dir and from one that nobody vouches for.
func TestAuthoritiesOfRegistries(t *testing.T) {
	known, unknown := upstreamregistry.StartTLS(t), upstreamregistry.StartTLS(t)
	image := upstreamregistry.Image{}.Build(t)
	digest := known.Put(t, image, "shop/web:1")
	unknown.Put(t, image, "shop/web:1")
	authorities := t.TempDir()
	if err := os.WriteFile(filepath.Join(authorities, "known.pem"), known.CA(), 0o600); err != nil {
		t.Fatal(err)
	}
	e := testenv.Start(t, func(o *standalone.Options) { o.Outbound.CADir = authorities })
	namespace := e.Namespace(t, "authorities")
	tag := func(name string, r *upstreamregistry.Registry, insecure bool) string {
		return fmt.Sprintf("  - {name: %s, from: {kind: DockerImage, name: '%s/shop/web:1'}, importPolicy: {insecure: %v}}\n", name, r.Host(), insecure)
	}
	e.Kubectl(t).Feed(t, "apiVersion: image.openshift.io/v1\nkind: ImageStream\nmetadata: {name: web}\nspec:\n  tags:\n"+
		tag("known", known, false)+tag("unknown", unknown, false)+tag("insecure", unknown, true), "-n", namespace, "create", "-f", "-")

	answers := map[string]imagev1.NamedTagEventList{}
	testenv.Eventually(t, "an answer for each tag", func() error {
		s, err := e.Images.ImageV1().ImageStreams(namespace).Get(t.Context(), "web", metav1.GetOptions{})
		if err != nil {
			return err
		}
		for _, tag := range s.Status.Tags {
			answers[tag.Tag] = tag
		}
		if len(answers) != 3 {
			return fmt.Errorf("%d tags have one: %v", len(answers), answers)
		}
		return nil
	})
	for _, name := range []string{"known", "insecure"} {
		if tag := answers[name]; len(tag.Conditions) != 0 || len(tag.Items) != 1 || tag.Items[0].Image != digest {
			t.Errorf("tag %s: %+v, want image %s", name, tag, digest)
		}
	}
	if tag := answers["unknown"]; len(tag.Items) != 0 || len(tag.Conditions) == 0 || !strings.Contains(tag.Conditions[0].Message, "certificate signed by unknown authority") {
		t.Errorf("tag unknown: %+v, want a condition about its certificate", tag)
	}
}
