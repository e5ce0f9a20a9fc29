package clients_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"weir.dev/weir/internal/testenv"
	"weir.dev/weir/internal/testenv/upstreamregistry"
)

func TestListing(t *testing.T) {
	namespace := env.Namespace(t, "reads")
	k := in(t, namespace)
	var all []string
	for i := range 5 {
		name := fmt.Sprint("s", i)
		k.Feed(t, strings.Replace(app, "name: app", "name: "+name, 1), "create", "-f", "-")
		all = append(all, "imagestream.image.openshift.io/"+name)
	}
	k.Run(t, "label", "is", "s3", "tier=back", "--overwrite")
	wantSaid(t, k.Run(t, "get", "is", "-o", "name"), all...)
	wantSaid(t, k.Run(t, "get", "imagestreams", "--chunk-size=2", "-o", "name"), all...)
	wantSaid(t, k.Run(t, "get", "imagestream.image.openshift.io", "s1", "s2", "-o", "name"), all[1:3]...)
	wantSaid(t, k.Run(t, "get", "is", "--field-selector=metadata.name=s2", "-o", "name"), all[2])
	wantSaid(t, k.Run(t, "get", "is", "--field-selector=metadata.name!=s2,metadata.namespace="+namespace, "-o", "name"), slices.Concat(all[:2], all[3:])...)
	wantSaid(t, k.Run(t, "get", "is", "-l", "tier=back", "-o", "name"), all[3])
	wantSaid(t, k.Run(t, "get", "is", "-l", "tier in (front),tier!=none", "-o", "name", "--chunk-size=1"), slices.Concat(all[:3], all[4:])...)
	wantSaid(t, k.Run(t, "get", "is", "--sort-by={.metadata.name}", "-o", "name"), all...)
	wantPart(t, k.Refused(t, "get", "is", "--field-selector=spec.nothing=1"), "(BadRequest)", "spec.nothing")
	// The tags of each stream that is listed, in pieces that end inside of it.
	tags := strings.Fields(k.Run(t, "get", "itag", "--chunk-size=2", "-o", "name"))
	if want := []string{"s0:one", "s1:one", "s2:one", "s3:one", "s4:one"}; !slices.Equal(trimmed(tags), want) {
		t.Errorf("image tags %v, want %v", tags, want)
	}
	wantSaid(t, k.Run(t, "get", "itag", "--field-selector=metadata.name=s2:one", "-o", "name"), "imagetag.image.openshift.io/s2:one")
	wantPart(t, k.Run(t, "get", "is", "-A", "--no-headers"), namespace)
	wantPart(t, k.Run(t, "get", "all", "-o", "name"), all...)
}

func trimmed(names []string) []string {
	var short []string
	for _, name := range names {
		short = append(short, name[strings.Index(name, "/")+1:])
	}
	return short
}

func TestOutputFormats(t *testing.T) {
	k := in(t, env.Namespace(t, "reads"))
	k.Feed(t, app, "create", "-f", "-")
	var asJSON, asList map[string]any
	for args, into := range map[string]*map[string]any{"app": &asJSON, "-l=tier=front": &asList} {
		if err := json.Unmarshal([]byte(k.Run(t, "get", "is", args, "-o", "json")), into); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff([]any{asJSON}, asList["items"]); diff != "" || asJSON["kind"] != "ImageStream" {
		t.Errorf("%v; the list has (-object +item):\n%s", asJSON["kind"], diff)
	}
	wantPart(t, k.Run(t, "get", "is", "app", "-o", "yaml"), "apiVersion: image.openshift.io/v1\nkind: ImageStream\n", "\n    from:\n      kind: DockerImage\n      name: registry.example.com/app:1\n", "\n  lookupPolicy:\n    local: false\n")
	wantSaid(t, k.Run(t, "get", "is", "-o", "custom-columns=N:.metadata.name,R:.status.dockerImageRepository", "--no-headers"),
		"app   "+k.Run(t, "get", "is", "app", "-o", "go-template={{.status.dockerImageRepository}}"))
	wantPart(t, k.Run(t, "describe", "is", "app"), "Name:         app", "Kind:         ImageStream", "Docker Image Reference:  registry.example.com/app:1")
}

// TestWatch sees a stream come, change and go.
func TestWatch(t *testing.T) {
	k := in(t, env.Namespace(t, "reads"))
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	watch := k.Cmd(ctx, "get", "is", "--watch", "--output-watch-events", "-o", "jsonpath={.type} {.object.metadata.name} {.object.metadata.labels.tier}{'\\n'}")
	out, err := watch.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := watch.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	next := func(want string) {
		t.Helper()
		if !lines.Scan() || lines.Text() != want {
			t.Fatalf("watched %q, %v; want %q", lines.Text(), lines.Err(), want)
		}
	}
	k.Feed(t, app, "create", "-f", "-")
	next("ADDED app front")
	k.Run(t, "label", "is", "app", "tier=back", "--overwrite")
	next("MODIFIED app back")
	k.Run(t, "delete", "is", "app")
	next("DELETED app back")
	cancel()
	_ = watch.Wait() // it was killed
}

func TestWait(t *testing.T) {
	r := upstreamregistry.Start(t)
	r.Put(t, upstreamregistry.Image{}.Build(t), "shop/web:1")
	k := in(t, env.Namespace(t, "reads"))
	k.Feed(t, followed(r, "web", "one", "shop/web:1"), "create", "-f", "-")
	wantSaid(t, k.Run(t, "wait", "--for=jsonpath={.status.tags[0].tag}=one", "is/web", "--timeout=60s"), "imagestream.image.openshift.io/web condition met")
	wantSaid(t, k.Run(t, "wait", "--for=jsonpath={.status.tags[0].items[0].generation}=2", "is/web", "--timeout=60s"), "imagestream.image.openshift.io/web condition met")

	gone := k.Cmd(t.Context(), "wait", "--for=delete", "is/web", "--timeout=60s")
	if err := gone.Start(); err != nil {
		t.Fatal(err)
	}
	k.Run(t, "delete", "is", "web")
	if err := gone.Wait(); err != nil {
		t.Errorf("waiting for the deletion: %v", err)
	}
}

// followed is a stream of one tag that follows an image of a registry over HTTP.
func followed(r *upstreamregistry.Registry, name, tag, image string) string {
	return fmt.Sprintf(`
apiVersion: image.openshift.io/v1
kind: ImageStream
metadata: {name: %s}
spec:
  tags:
  - name: %q
    from: {kind: DockerImage, name: "%s/%s"}
    importPolicy: {insecure: true}
    referencePolicy: {type: Local}
`, name, tag, r.Host(), image)
}

// TestViewsOfAnImportedTag reads one imported tag in all the ways there are.
func TestViewsOfAnImportedTag(t *testing.T) {
	r := upstreamregistry.Start(t)
	digest := r.Put(t, upstreamregistry.Image{Env: []string{"A=b"}}.Build(t), "shop/web:1")
	namespace := env.Namespace(t, "reads")
	k := in(t, namespace)
	k.Feed(t, followed(r, "web", "1", "shop/web:1"), "create", "-f", "-")
	testenv.Eventually(t, "the import", func() error {
		_, _, err := k.Try("", "get", "istag", "web:1")
		return err
	})
	repository, upstream := integrated+"/"+namespace+"/web", r.Host()+"/shop/web"
	for _, c := range []struct {
		args []string
		want [][]string // lines as words; the last word of ages varies
	}{
		{[]string{"get", "is"}, [][]string{{"NAME", "IMAGE", "REPOSITORY", "TAGS", "UPDATED"}, {"web", repository, "1"}}},
		{[]string{"get", "istag"}, [][]string{{"NAME", "IMAGE", "REFERENCE", "UPDATED"}, {"web:1", repository + "@" + digest}}},
		{[]string{"get", "istag", "web:1", "-o", "wide"}, [][]string{{"NAME", "IMAGE", "REFERENCE", "UPDATED", "IMAGE", "NAME"}, {"web:1", repository + "@" + digest}}},
		{[]string{"get", "itag", "web:1"}, [][]string{{"NAME", "SPEC", "STATUS", "HISTORY", "UPDATED"}, {"web:1", "Tag", "image/" + digest, "1"}}},
		{[]string{"get", "isimage", "web@" + digest}, [][]string{{"NAME", "UPDATED"}, {"web@" + digest}}},
		{[]string{"get", "isimage", "web@" + digest[:19], "-o", "wide"}, [][]string{{"NAME", "UPDATED", "IMAGE", "REFERENCE", "IMAGE", "NAME"}, {"web@" + digest[:19]}}},
		{[]string{"get", "image", digest}, [][]string{{"NAME", "IMAGE", "REFERENCE"}, {digest, upstream + "@" + digest}}},
	} {
		lines := strings.Split(strings.TrimSpace(k.Run(t, c.args...)), "\n")
		if len(lines) != len(c.want) {
			t.Errorf("%v printed %d lines, want %d:\n%s", c.args, len(lines), len(c.want), strings.Join(lines, "\n"))
			continue
		}
		for i, line := range lines {
			if words := strings.Fields(line); len(words) < len(c.want[i]) || !slices.Equal(words[:len(c.want[i])], c.want[i]) {
				t.Errorf("%v printed %v, want %v", c.args, words, c.want[i])
			}
		}
	}
	wantSaid(t, k.Run(t, "get", "istag", "web:1", "-o", "jsonpath={.image.dockerImageMetadata.Architecture} {.image.dockerImageMetadata.Config.Env}"), `amd64 ["A=b"]`)
	wantSaid(t, k.Run(t, "get", "itag", "web:1", "-o", "jsonpath={.spec.referencePolicy.type} {.status.items[0].image}"), "Local "+digest)
	wantPart(t, k.Run(t, "get", "is", "web", "--subresource=status", "-o", "name"), "imagestream.image.openshift.io/web")
	wantPart(t, k.Run(t, "get", "--raw", groupPath+"/namespaces/"+namespace+"/imagestreams/web/layers"), `"kind":"ImageStreamLayers"`, digest)
	wantPart(t, k.Refused(t, "get", "istag", "web:none"), `imagestreamtags.image.openshift.io "web:none" not found`)
	wantPart(t, k.Refused(t, "get", "isimage"), "the server could not find the requested resource")
}
