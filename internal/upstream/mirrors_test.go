package upstream

import (
	"net/http"
	"strings"
	"testing"

	configv1 "github.com/openshift/api/config/v1"

	"weir.dev/weir/internal/registryrules"
)

func TestMirrorsAreTriedInOrder(t *testing.T) {
	h, d := realRegistry(t)
	full, empty, source := serve(t, h), serve(t, http.NotFoundHandler()), serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusUnauthorized)
	}))
	c := newTestClient(t)
	rules := rulesOf(t, `
[[registry]]
prefix = "quay.test"
location = "`+source.host+`"
insecure = true
[[registry.mirror]]
location = "`+empty.host+`"
insecure = true
[[registry.mirror]]
location = "`+full.host+`"
insecure = true
[[registry]]
location = "blocked.test"
blocked = true
`)
	c.SetRules(rules)
	r := openAs(t, c, "quay.test/team/app", false)
	got, err := r.Manifest(t.Context(), "latest")
	if err != nil || got.Source != full.host+"/team/app" || got.Digest != d {
		t.Errorf("got %+v, %v", got.Descriptor, err)
	}
	if len(empty.all()) == 0 || len(source.all()) != 0 {
		t.Errorf("asked: first mirror %v, source %v", empty.lines(), source.lines())
	}
	// All fail: the source's reason, the others' texts behind it.
	_, err = r.Manifest(t.Context(), "gone")
	e := wantCode(t, err, CodeUnauthorized)
	if e.Source != source.host+"/team/app" || e.Ref != "quay.test/team/app:gone" {
		t.Errorf("%+v", e)
	}
	for _, part := range []string{"401 Unauthorized", empty.host + "/team/app: ", full.host + "/team/app: "} {
		if !strings.Contains(e.Text, part) {
			t.Errorf("%q lacks %q", e.Text, part)
		}
	}
	// Tags are the source's alone.
	full.reset()
	_, err = r.Tags(t.Context())
	wantCode(t, err, CodeUnauthorized)
	if len(full.all()) != 0 {
		t.Error("a mirror was asked for tags")
	}
	_, err = c.Repository(parse(t, "blocked.test/a/b:x"), false, nil)
	e = wantCode(t, err, CodeBlocked)
	if e.Ref != "blocked.test/a/b:x" || e.Text != "registry blocked.test is blocked" {
		t.Errorf("%+v", e)
	}
}

// insecure of a request is for all its sources: sites without access to the source have its
// tags import from a mirror that speaks plain HTTP.
func TestInsecureReachesMirrors(t *testing.T) {
	h, _ := realRegistry(t)
	mirror, source := serve(t, h), serve(t, h)
	for name, rules := range map[string]*registryrules.Rules{
		"registries.conf": rulesOf(t, "[[registry]]\nlocation = \""+source.host+"\"\n[[registry.mirror]]\nlocation = \""+mirror.host+"\"\n"),
		"ImageTagMirrorSet": func() *registryrules.Rules {
			set := configv1.ImageTagMirrorSet{Spec: configv1.ImageTagMirrorSetSpec{ImageTagMirrors: []configv1.ImageTagMirrors{
				{Source: source.host, Mirrors: []configv1.ImageMirror{configv1.ImageMirror(mirror.host)}, MirrorSourcePolicy: configv1.NeverContactSource},
			}}}
			rules, _ := registryrules.New(nil, registryrules.ClusterObjects{TagMirrorSets: []configv1.ImageTagMirrorSet{set}})
			return rules
		}(),
	} {
		t.Run(name, func(t *testing.T) {
			c := newTestClient(t)
			c.SetRules(rules)
			got, err := open(t, c, source.host+"/team/app:latest").Manifest(t.Context(), "latest")
			if err != nil || got.Source != mirror.host+"/team/app" {
				t.Errorf("an insecure tag: %+v, %v", got.Descriptor, err)
			}
			mirror.reset()
			if _, err := openAs(t, c, source.host+"/team/app:latest", false).Manifest(t.Context(), "latest"); err == nil || len(mirror.all()) != 0 {
				t.Errorf("a secure tag: %v; mirror asked %v", err, mirror.lines())
			}
		})
	}
}
