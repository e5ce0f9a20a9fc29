package pullthrough

import (
	"bytes"
	"context"
	"testing"

	digest "github.com/opencontainers/go-digest"

	"weir.dev/weir/internal/ociregistry"
	"weir.dev/weir/internal/pullsecrets"
	"weir.dev/weir/internal/testenv/upstreamregistry"
)

// Content is pulled through from all widespread registries, whatever is peculiar to each.
func TestWidespreadRegistries(t *testing.T) {
	content, d := random(layerSize)
	secret, s := random(layerSize + 1)
	for _, profile := range upstreamregistry.Profiles {
		t.Run(profile.Name, func(t *testing.T) {
			t.Parallel()
			other := upstreamregistry.StartAs(t, profile)
			manifest := putLayers(t, other, "team/app:1", content)
			private := putLayers(t, other, "private/app:1", secret)
			password := map[string]string{"team": upstreamregistry.TeamPassword, "wrong": "wrong"}
			r := newRig(t, func(s *setup) {
				s.Credentials = func(_ context.Context, namespace string) (pullsecrets.Credentials, error) {
					if password[namespace] == "" {
						return pullsecrets.None, nil
					}
					return login{Username: upstreamregistry.Team, Password: password[namespace], Origin: "test"}, nil
				}
			})
			get := func(namespace, repository string, manifest, layer digest.Digest, want []byte) error {
				w := ociregistry.Wanted{Size: int64(len(want)), Sources: []ociregistry.Source{source(t, other.Host()+"/"+repository)}}
				if _, _, err := r.Manifest(t.Context(), in(namespace, manifest, w)); err != nil {
					return err
				}
				if size, err := r.Stat(t.Context(), in(namespace, layer, w)); err != nil || size != w.Size {
					t.Errorf("%s: size %d, %v", namespace, size, err)
				}
				got, err := r.pullFrom(namespace, layer, w, 100)
				if err == nil && !bytes.Equal(got, want[100:]) {
					t.Errorf("%s: other content", namespace)
				}
				return err
			}
			// Those who may not are refused first, while nothing is stored.
			for _, namespace := range []string{"none", "wrong"} {
				err := get(namespace, "private/app", private, s, secret)
				wantError(t, err, ociregistry.CodeManifestUnknown, other.Host())
			}
			if err := get("team", "private/app", private, s, secret); err != nil {
				t.Errorf("private: %v", err)
			}
			r.wantStored(s, secret)
			for _, namespace := range []string{"none", "wrong"} {
				err := get(namespace, "team/app", manifest, d, content)
				if (err == nil) != profile.Public {
					t.Errorf("public %v in namespace %s: %v", profile.Public, namespace, err)
				}
			}
			other.ForgetTokens()
			if err := get("team", "team/app", manifest, d, content); err != nil {
				t.Error(err)
			}
			r.wantStored(d, content)
		})
	}
}
