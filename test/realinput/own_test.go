package realinput_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	imagev1 "github.com/openshift/api/image/v1"
)

// ownStream describes a stream in the shape in which OpenShift's are published: tags
// of versions that follow images of other registries, and tags that follow those.
type ownStream struct {
	name   string
	labels map[string]any
	legacy bool // of the apiVersion from before the API had groups
	tags   []ownTag
}

type ownTag struct {
	name      string
	image     string // a DockerImage, or
	alias     string // a tag of the same stream
	scheduled bool
	policy    string // referencePolicy.type
}

const (
	ownHost   = "registry.example.com"
	ownAccess = "registry.access.example.com"
)

// ownStreams are a few dozen tags: what the test runs on where nothing else is given.
func ownStreams() []ownStream {
	versions := func(name, repository string, aliasOf string, versions ...string) ownStream {
		s := ownStream{name: name}
		if aliasOf != "" {
			s.tags = append(s.tags, ownTag{name: "latest", alias: aliasOf, policy: "Local"})
		}
		for _, v := range versions {
			s.tags = append(s.tags, ownTag{name: v, image: fmt.Sprintf(repository, v), policy: "Local"})
		}
		return s
	}
	compiler := versions("compiler", ownHost+"/tools-9/compiler:%s", "3.10-slim", "3.9", "3.10", "3.10-slim", "3.11", "4.0-rc.1")
	compiler.labels = map[string]any{"suite": "tools"}
	database := versions("database", ownHost+"/store/data-base:%s", "12-el9", "10-el8", "11-el8", "12-el9", "12.1.0.GA")
	database.tags = append(database.tags, ownTag{name: "stable", alias: "12-el9", policy: ""})
	runner := versions("runner-base", ownHost+"/ci/runner_base:%s", "", "v4.11.0", "v4.12.0")
	runner.tags = append(runner.tags,
		ownTag{name: "scheduled-upgrade", image: ownHost + "/ci/runner_base:v4.13.0", scheduled: true, policy: "Local"},
		ownTag{name: "upgrade", alias: "v4.12.0", policy: "Local"})
	return []ownStream{
		compiler, database, runner,
		versions("web8-openshift", ownAccess+"/web8/server:%s", "", "1.0", "1.1", "1.2", "1.3", "1.4", "1.5", "1.6", "1.7", "1.8"),
		versions("web9.front-end", ownAccess+"/web9/front/end:%s", "2.0", "1.9", "2.0", "2.1"),
		{name: "several-repositories", legacy: true, tags: []ownTag{
			{name: "one", image: ownHost + "/suite-1/part:latest", policy: "Local"},
			{name: "two", image: ownHost + "/suite-2/part:latest", policy: "Local"},
			{name: "three", image: ownAccess + "/suite-3/part:latest", policy: "Local"},
			{name: "untagged", image: ownAccess + "/suite-4/part", policy: ""},
			{name: "latest", alias: "two", policy: ""},
		}},
	}
}

// document is the stream as a file has it, with all that a generator leaves behind.
func (s ownStream) document() map[string]any {
	metadata := map[string]any{
		"name": s.name, "creationTimestamp": nil,
		"annotations": map[string]any{"openshift.io/display-name": "The " + s.name},
	}
	if s.labels != nil {
		metadata["labels"] = s.labels
	}
	tags := []any{}
	for _, tag := range s.tags {
		tags = append(tags, tag.document(s.name))
	}
	apiVersion := imagev1.GroupVersion.String()
	if s.legacy {
		apiVersion = legacyVersion
	}
	return map[string]any{
		"kind": "ImageStream", "apiVersion": apiVersion, "metadata": metadata,
		"spec":   map[string]any{"lookupPolicy": map[string]any{"local": false}, "tags": tags},
		"status": map[string]any{"dockerImageRepository": ""},
	}
}

func (t ownTag) document(stream string) map[string]any {
	from := map[string]any{"kind": "DockerImage", "name": t.image}
	if t.alias != "" {
		from = map[string]any{"kind": "ImageStreamTag", "name": t.alias}
	}
	policy := map[string]any{}
	if t.scheduled {
		policy["scheduled"] = true
	}
	return map[string]any{
		"name": t.name,
		"annotations": map[string]any{
			"description":               "Runs " + stream + " " + t.name + ".\n\nWARNING: see https://example.com/" + stream + "/README.md.",
			"iconClass":                 "icon-" + stream,
			"openshift.io/display-name": stream + " (" + t.name + ")",
			"tags":                      "builder," + stream + ",hidden",
			"version":                   t.name,
		},
		"from": from, "generation": nil, "importPolicy": policy,
		"referencePolicy": map[string]any{"type": t.policy},
	}
}

// writeOwnStreams writes the streams of our own making as files into a folder.
func writeOwnStreams(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, s := range ownStreams() {
		document, err := json.MarshalIndent(s.document(), "", "\t")
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, s.name+".json"), document, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}
