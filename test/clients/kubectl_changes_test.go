package clients_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// app is a stream with a tag that nothing imports, so that it changes by no one else.
const app = `
apiVersion: image.openshift.io/v1
kind: ImageStream
metadata:
  name: app
  labels: {tier: front}
spec:
  tags:
  - name: one
    annotations: {description: The first}
    from: {kind: DockerImage, name: "registry.example.com/app:1"}
    reference: true
`

// wantSaid compares what kubectl printed.
func wantSaid(t *testing.T, got string, want ...string) {
	t.Helper()
	if diff := cmp.Diff(strings.Join(want, "\n"), strings.TrimRight(got, "\n")); diff != "" {
		t.Errorf("kubectl printed (-want +got):\n%s", diff)
	}
}

// wantPart checks what kubectl said when it refused.
func wantPart(t *testing.T, said string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(said, part) {
			t.Errorf("kubectl said %q, want %q in it", said, part)
		}
	}
}

func TestCreateAndApply(t *testing.T) {
	k := in(t, env.Namespace(t, "changes"))
	wantSaid(t, k.Feed(t, app, "create", "-f", "-"), "imagestream.image.openshift.io/app created")
	_, said, err := k.Try(app, "create", "-f", "-")
	if err == nil {
		t.Error("created twice")
	}
	wantPart(t, said, `(AlreadyExists)`, `imagestreams.image.openshift.io "app" already exists`)

	changed := strings.Replace(app, "front", "back", 1)
	wantSaid(t, k.Feed(t, changed, "apply", "-f", "-"), "imagestream.image.openshift.io/app configured")
	wantSaid(t, k.Feed(t, changed, "apply", "-f", "-"), "imagestream.image.openshift.io/app unchanged")
	wantSaid(t, k.Run(t, "get", "is", "app", "-o", "jsonpath={.metadata.labels.tier} {.metadata.generation}"), "back 1")

	// What another manager owns is not taken without force.
	_, said, err = k.Try(strings.Replace(app, "front", "side", 1), "apply", "--server-side", "--field-manager=other", "-f", "-")
	if err == nil {
		t.Error("applied over another manager's fields")
	}
	wantPart(t, said, "conflict", ".metadata.labels.tier")
	k.Feed(t, strings.Replace(app, "front", "side", 1), "apply", "--server-side", "--field-manager=other", "--force-conflicts", "-f", "-")
	wantSaid(t, k.Run(t, "get", "is", "app", "-o", "jsonpath={.metadata.labels.tier}"), "side")
	wantPart(t, k.Run(t, "get", "is", "app", "-o", "yaml", "--show-managed-fields"), `k:{"name":"one"}:`, "manager: other", "operation: Apply")
}

func TestPatchTypes(t *testing.T) {
	k := in(t, env.Namespace(t, "changes"))
	k.Feed(t, app, "create", "-f", "-")
	tags := func() string {
		return k.Run(t, "get", "is", "app", "-o", `jsonpath={range .spec.tags[*]}{.name}={.from.name}@{.generation} {end}{.spec.lookupPolicy.local} {.metadata.generation}`)
	}
	wantSaid(t, tags(), "one=registry.example.com/app:1@1 false 1")
	for _, step := range []struct{ kind, patch, want string }{
		{"merge", `{"spec":{"lookupPolicy":{"local":true}}}`,
			"one=registry.example.com/app:1@1 true 2"},
		{"json", `[{"op":"add","path":"/spec/tags/-","value":{"name":"two","reference":true,"from":{"kind":"DockerImage","name":"registry.example.com/app:2"}}}]`,
			"one=registry.example.com/app:1@1 two=registry.example.com/app:2@3 true 3"},
		{"strategic", `{"spec":{"tags":[{"name":"two","from":{"name":"registry.example.com/app:2.1"}},{"name":"three","from":{"kind":"ImageStreamTag","name":"one"}}]}}`,
			"one=registry.example.com/app:1@1 three=one@4 two=registry.example.com/app:2.1@4 true 4"},
		{"strategic", `{"spec":{"tags":[{"name":"two","$patch":"delete"}]}}`,
			"one=registry.example.com/app:1@1 three=one@4 true 5"},
		{"merge", `{"spec":{"tags":[{"name":"four"}]}}`,
			"four=@6 true 6"},
	} {
		wantSaid(t, k.Run(t, "patch", "is", "app", "--type="+step.kind, "-p", step.patch), "imagestream.image.openshift.io/app patched")
		wantSaid(t, tags(), step.want)
	}
	// The fourth type is an apply.
	k.Feed(t, app, "apply", "--server-side", "--force-conflicts", "-f", "-")
	wantSaid(t, tags(), "four=@6 one=registry.example.com/app:1@7 true 7")

	wantPart(t, k.Refused(t, "patch", "is", "app", "--type=json", "-p", `[{"op":"remove","path":"/spec/nothing"}]`), "the server rejected our request")
	wantPart(t, k.Refused(t, "patch", "is", "app", "--type=merge", "-p", `{"metadata":{"name":"other"}}`), "(BadRequest)")
	wantSaid(t, k.Run(t, "patch", "is", "app", "--subresource=status", "--type=merge", "-p",
		`{"status":{"tags":[{"tag":"made","items":[{"created":"2024-01-02T03:04:05Z","dockerImageReference":"registry.example.com/app:made","image":"sha256:0","generation":7}]}]}}`),
		"imagestream.image.openshift.io/app patched")
	wantSaid(t, k.Run(t, "get", "is", "app", "-o", "jsonpath={.status.tags[?(@.tag=='made')].items[0].image}"), "sha256:0")
}

func TestReplaceEditLabelAnnotate(t *testing.T) {
	k := in(t, env.Namespace(t, "changes"))
	k.Feed(t, app, "create", "-f", "-")
	stored := k.Run(t, "get", "is", "app", "-o", "yaml")
	wantSaid(t, k.Feed(t, strings.Replace(stored, "tier: front", "tier: edited", 1), "replace", "-f", "-"), "imagestream.image.openshift.io/app replaced")
	_, said, err := k.Try(stored, "replace", "-f", "-") // what was read before the first replace
	if err == nil {
		t.Error("replaced with an old resourceVersion")
	}
	wantPart(t, said, "(Conflict)", "the object has been modified")

	edit := k.Cmd(t.Context(), "edit", "is", "app")
	edit.Env = append(edit.Env, "KUBE_EDITOR=sed -i s/app:1/app:edited/")
	output, err := edit.CombinedOutput()
	if err != nil {
		t.Errorf("kubectl edit: %v", err)
	}
	wantSaid(t, string(output), "imagestream.image.openshift.io/app edited")

	wantSaid(t, k.Run(t, "label", "is", "app", "color=blue"), "imagestream.image.openshift.io/app labeled")
	wantSaid(t, k.Run(t, "label", "is", "app", "tier-"), "imagestream.image.openshift.io/app unlabeled")
	wantSaid(t, k.Run(t, "annotate", "is", "app", "note=hello"), "imagestream.image.openshift.io/app annotated")
	wantPart(t, k.Refused(t, "label", "is", "app", "color=red"), "already has a value (blue)")
	wantSaid(t, k.Run(t, "get", "is", "app", "-o", "jsonpath={.metadata.labels} {.metadata.annotations} {.spec.tags[0].from.name} {.metadata.generation}"),
		`{"color":"blue"} {"note":"hello"} registry.example.com/app:edited 2`)
}

func TestDelete(t *testing.T) {
	k := in(t, env.Namespace(t, "changes"))
	for _, name := range []string{"a", "b", "c", "d"} {
		k.Feed(t, strings.Replace(app, "name: app", "name: "+name, 1), "create", "-f", "-")
	}
	k.Run(t, "label", "is", "b", "tier=back", "--overwrite")
	wantSaid(t, k.Run(t, "delete", "is", "a"), `imagestream.image.openshift.io "a" deleted`)
	wantPart(t, k.Refused(t, "delete", "is", "a"), `imagestreams.image.openshift.io "a" not found`)
	wantSaid(t, k.Run(t, "delete", "is", "a", "--ignore-not-found"))
	wantSaid(t, k.Run(t, "delete", "is", "-l", "tier=back"), `imagestream.image.openshift.io "b" deleted`)
	wantSaid(t, k.Run(t, "delete", "istag", "c:one"), `imagestreamtag.image.openshift.io "c:one" deleted`)
	wantSaid(t, k.Run(t, "get", "is", "c", "-o", "jsonpath={.spec.tags}{.status.tags}"))
	wantSaid(t, k.Run(t, "delete", "is", "--all", "--dry-run=server"),
		`imagestream.image.openshift.io "c" deleted (server dry run)`, `imagestream.image.openshift.io "d" deleted (server dry run)`)
	wantSaid(t, k.Run(t, "delete", "all", "--all"), `imagestream.image.openshift.io "c" deleted`, `imagestream.image.openshift.io "d" deleted`)
	wantSaid(t, k.Run(t, "get", "is", "-o", "name"))
}

func TestDryRunWritesNothing(t *testing.T) {
	k := in(t, env.Namespace(t, "changes"))
	k.Feed(t, app, "create", "-f", "-")
	before := k.Run(t, "get", "is,istag,itag", "-o", "yaml", "--show-managed-fields")
	digest := "sha256:" + strings.Repeat("a", 64)
	for name, document := range map[string]string{
		"stream":  strings.Replace(app, "name: app", "name: new", 1),
		"tag":     "apiVersion: image.openshift.io/v1\nkind: ImageStreamTag\nmetadata: {name: 'new:tag'}\ntag: {reference: true, from: {kind: DockerImage, name: 'registry.example.com/new:1'}}\n",
		"itag":    "apiVersion: image.openshift.io/v1\nkind: ImageTag\nmetadata: {name: 'app:new'}\nspec: {name: new, reference: true, from: {kind: DockerImage, name: 'registry.example.com/new:1'}}\n",
		"mapping": "apiVersion: image.openshift.io/v1\nkind: ImageStreamMapping\nmetadata: {name: app}\ntag: pushed\nimage: {metadata: {name: '" + digest + "'}, dockerImageReference: registry.example.com/app@" + digest + "}\n",
		"image":   "apiVersion: image.openshift.io/v1\nkind: Image\nmetadata: {name: '" + digest + "'}\ndockerImageReference: registry.example.com/app@" + digest + "\n",
		"import":  "apiVersion: image.openshift.io/v1\nkind: ImageStreamImport\nmetadata: {name: new}\nspec: {import: true, images: [{from: {kind: DockerImage, name: '127.0.0.1:1/new:1'}, to: {name: tag}}]}\n",
	} {
		if _, _, err := k.Try(document, "create", "--dry-run=server", "-f", "-"); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	k.Run(t, "patch", "itag", "app:one", "--dry-run=server", "--type=merge", "-p", `{"spec":{"annotations":{"a":"b"}}}`)
	k.Run(t, "label", "is", "app", "--dry-run=server", "x=y")
	k.Run(t, "delete", "istag", "app:one", "--dry-run=server")
	k.Run(t, "delete", "is", "app", "--dry-run=server")
	if diff := cmp.Diff(before, k.Run(t, "get", "is,istag,itag", "-o", "yaml", "--show-managed-fields")); diff != "" {
		t.Errorf("dry runs changed (-before +after):\n%s", diff)
	}
	wantPart(t, k.Refused(t, "get", "image", digest), "not found")
}

func TestFieldValidation(t *testing.T) {
	k := in(t, env.Namespace(t, "changes"))
	odd := strings.Replace(app, "reference: true", "reference: true\n    importPolcy: {}", 1)
	_, said, err := k.Try(odd, "create", "-f", "-")
	if err == nil {
		t.Error("an unknown field passed strict validation")
	}
	wantPart(t, said, "strict decoding error", `unknown field "spec.tags[0].importPolcy"`)
	stdout, said, err := k.Try(odd, "create", "--validate=warn", "-f", "-")
	if err != nil {
		t.Error(err)
	}
	wantSaid(t, stdout, "imagestream.image.openshift.io/app created")
	wantPart(t, said, `Warning: unknown field "spec.tags[0].importPolcy"`)
	_, said, err = k.Try(strings.Replace(app, "app\n", "other\n", 1), "create", "--validate=ignore", "-f", "-")
	if err != nil || said != "" {
		t.Errorf("said %q, %v", said, err)
	}
}
