package api_test

import (
	"fmt"
	"net/http"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// TestDiscovery holds what clients learn about the resources against what they
// know of them: singular and short names, kinds, verbs.
func TestDiscovery(t *testing.T) {
	var list metav1.APIResourceList
	unmarshal(t, raw(t, env.Config, http.MethodGet, groupPath, "").body, &list)
	got := map[string]string{}
	for _, r := range list.APIResources {
		got[r.Name] = fmt.Sprintf("%s %v %v namespaced=%v %s %v", r.SingularName, r.ShortNames, r.Categories, r.Namespaced, r.Kind, r.Verbs)
	}
	for name, want := range map[string]string{
		"imagesignatures":      "imagesignature [] [] namespaced=false ImageSignature [create delete]",
		"imagestreams/layers":  " [] [] namespaced=true ImageStreamLayers [get]",
		"imagestreams/secrets": " [] [] namespaced=true SecretList [get]",
		"imagestreamimages":    "imagestreamimage [isimage] [] namespaced=true ImageStreamImage [get]",
		"imagestreammappings":  "imagestreammapping [] [] namespaced=true ImageStreamMapping [create]",
	} {
		if got[name] != want {
			t.Errorf("%s: %q, want %q", name, got[name], want)
		}
	}
}
