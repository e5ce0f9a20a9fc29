package api_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sync/errgroup"
)

// TestPatchesOfWrongTypesAreRefused puts values of other types in the place of every value of a
// patch, one after another, for all kinds and ways to patch: none may be the server's fault.
func TestPatchesOfWrongTypesAreRefused(t *testing.T) {
	ns := env.Namespace(t, "patches")
	image := storeImage(t, digestOf(t, "patched")).Name
	makeStream(t, ns, "s")
	post(t, streamTags(ns, ""), referenceTag("s:a", "registry.example.com/x:1", "")).wantCode(t, http.StatusCreated)
	push(t, ns, "s", "b", plainImage(image))
	metadata := `"metadata":{"labels":{"l":"m"},"annotations":{"a":"b"},"finalizers":["example.com/f"],
		"ownerReferences":[{"apiVersion":"v1","kind":"Secret","name":"x","uid":"y"}]}`
	tag := `{"name":"a","annotations":{"a":"b"},"from":{"kind":"DockerImage","name":"registry.example.com/x:1"},"reference":true,"generation":1,
		"importPolicy":{"insecure":true,"importMode":"Legacy"},"referencePolicy":{"type":"Source"}}`
	history := `{"tag":"b","items":[{"created":"2026-01-02T03:04:05Z","dockerImageReference":"registry.example.com/x:1","image":"","generation":1}],
		"conditions":[{"type":"ImportSuccess","status":"False","lastTransitionTime":"2026-01-02T03:04:05Z","reason":"x","message":"x","generation":1}]}`
	var group errgroup.Group
	group.SetLimit(8)
	for _, target := range []struct{ kind, path, document string }{
		{"ImageStream", inNamespace(ns, "imagestreams/s"), `{` + metadata + `,"spec":{"lookupPolicy":{"local":true},"dockerImageRepository":"registry.example.com/x",
			"tags":[` + tag + `]}}`},
		{"ImageStream", inNamespace(ns, "imagestreams/s"), `{"spec":{"tags":[{"name":"a","$retainKeys":["name"]}],"$setElementOrder/tags":[{"name":"a"}]}}`},
		{"ImageStream", inNamespace(ns, "imagestreams/s/status"), `{"status":{"dockerImageRepository":"x","tags":[` + history + `]}}`},
		{"Image", groupPath + "/images/" + image, `{` + metadata + `,"dockerImageReference":"registry.example.com/x","dockerImageMetadata":{"Id":"x"},
			"dockerImageLayers":[{"name":"x","size":1,"mediaType":"a/b"}],"dockerImageManifests":[{"digest":"x","manifestSize":1}],
			"signatures":[{"metadata":{"name":"x"},"type":"x","content":"eA==","conditions":[{"type":"Trusted"}]}],"dockerImageSignatures":["eA=="]}`},
		{"ImageStreamTag", streamTags(ns, "/s:a"), `{` + metadata + `,"tag":` + tag + `,"lookupPolicy":{"local":true}}`},
		{"ImageTag", imageTags(ns, "/s:a"), `{` + metadata + `,"spec":` + tag + `,"status":` + history + `}`},
	} {
		for _, body := range misshapen(t, target.document) {
			for _, kind := range []string{strategicPatch, mergePatch, applyPatch} {
				group.Go(func() error {
					body, path := body, target.path+"?dryRun=All"
					if kind == applyPatch {
						path += "&fieldManager=m&force=true"
						body = `{"apiVersion":"image.openshift.io/v1","kind":"` + target.kind + `",` + body[1:]
					}
					r, err := send(t.Context(), env.Config, http.MethodPatch, path, body, []string{"Content-Type", kind})
					// An unknown field is one of the contract for server-side apply.
					unknown := kind == applyPatch && strings.Contains(string(r.body), "field not declared in schema")
					if err != nil || r.code >= http.StatusInternalServerError && !unknown {
						return fmt.Errorf("%s to %s: %d %s (%v)\n%s", kind, path, r.code, r.body, err, body)
					}
					return nil
				})
			}
		}
	}
	if err := group.Wait(); err != nil {
		t.Error(err)
	}
	patch(t, inNamespace(ns, "imagestreams/s"), strategicPatch, `{"spec":{"tags":[{"name":{}}]}}`).wantCauses(t, "FieldValueInvalid patch")
}

// misshapen are the documents that come of one by replacing one value in it.
func misshapen(t *testing.T, document string) []string {
	t.Helper()
	var parsed any
	unmarshal(t, []byte(document), &parsed)
	var bodies []string
	var walk func(value any, set func(any))
	walk = func(value any, set func(any)) {
		for _, wrong := range []any{map[string]any{}, []any{map[string]any{}}, []any{nil}, nil, "x", 7.5, true, map[string]any{"$patch": "delete"}} {
			set(wrong)
			body, err := json.Marshal(parsed)
			if err != nil {
				t.Fatal(err)
			}
			if body[0] == '{' && !slices.Contains(bodies, string(body)) {
				bodies = append(bodies, string(body))
			}
		}
		set(value)
		switch v := value.(type) {
		case map[string]any:
			for key, member := range v {
				walk(member, func(other any) { v[key] = other })
			}
		case []any:
			for i, item := range v {
				walk(item, func(other any) { v[i] = other })
			}
		}
	}
	walk(parsed, func(other any) { parsed = other })
	return bodies
}
