package api_test

import (
	"net/http"
	"testing"

	imagev1 "github.com/openshift/api/image/v1"
)

// TestDiscoveryGolden holds the group's discovery documents, plain and aggregated.
func TestDiscoveryGolden(t *testing.T) {
	for path, file := range map[string]string{
		"/apis/" + imagev1.GroupName: "discovery-group.json",
		groupPath:                    "discovery-version.json",
	} {
		r := raw(t, env.As("nobody"), http.MethodGet, path, "")
		if r.code != http.StatusOK {
			t.Errorf("%s: %d %s", path, r.code, r.body)
			continue
		}
		wantGolden(t, file, indented(t, parse(t, r.body)))
	}
	wantGolden(t, "discovery-aggregated.json", indented(t, aggregated(t)))
}

// aggregated is the group in the discovery document of everything.
func aggregated(t *testing.T) any {
	t.Helper()
	r := raw(t, env.As("nobody"), http.MethodGet, "/apis", "", "Accept", "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList")
	var list struct {
		Kind  string
		Items []map[string]any
	}
	unmarshal(t, r.body, &list)
	if list.Kind != "APIGroupDiscoveryList" {
		t.Fatalf("aggregated discovery answered %d %s", r.code, r.body)
	}
	for _, group := range list.Items {
		if metadata, ok := group["metadata"].(map[string]any); ok && metadata["name"] == imagev1.GroupName {
			return group
		}
	}
	t.Fatalf("aggregated discovery has no %s", imagev1.GroupName)
	return nil
}
