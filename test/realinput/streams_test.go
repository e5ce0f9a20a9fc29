// Package realinput_test applies image streams as they are published, by the hundred
// tags, and has them imported from a registry that holds an image for each.
package realinput_test

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	imagev1 "github.com/openshift/api/image/v1"
)

// streamsVariable names the folder of published streams. They are other people's, so
// they lie beside a clone and not in it.
const streamsVariable = "WEIR_TEST_STREAMS"

// collection is a folder of files with streams.
type collection struct {
	name    string
	streams []imagev1.ImageStream
	files   []string // as they are in the folder
	// legacy are files that name the apiVersion from before the API had groups. kubectl
	// finds no such kind on any server, and oc puts the group there before it sends them.
	// So does this test: regrouped are copies of them with that one line changed.
	legacy    []string
	regrouped []string
}

// legacyVersion is the apiVersion from before the API had groups.
const legacyVersion = "v1"

var legacyLine = regexp.MustCompile(`("apiVersion"\s*:\s*)"v1"`)

// arguments has kubectl read all files of the collection that it can.
func (c collection) arguments() []string {
	var arguments []string
	for _, file := range slices.Concat(c.files, c.regrouped) {
		arguments = append(arguments, "-f", file)
	}
	return arguments
}

// collections are the streams of our own making and, where they are given, the
// published ones.
func collections(t *testing.T) []collection {
	t.Helper()
	all := []collection{readCollection(t, "own", writeOwnStreams(t))}
	dir := os.Getenv(streamsVariable)
	if dir == "" {
		if os.Getenv("CI") == "true" {
			t.Errorf("%s names no folder of published image streams, and this is CI", streamsVariable)
		}
		t.Logf("%s is not set: the test runs on streams of our own making alone", streamsVariable)
		return all
	}
	return append(all, readCollection(t, "published", dir))
}

func readCollection(t *testing.T, name, dir string) collection {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no image streams (*.json) in %s: %v", dir, err)
	}
	c := collection{name: name}
	for _, file := range files {
		c.read(t, file)
	}
	if len(c.legacy) > 0 {
		t.Logf("%s: %d of %d files name the apiVersion %s and are applied with the group's", name, len(c.legacy), len(files), legacyVersion)
	}
	return c
}

// read adds a file.
func (c *collection) read(t *testing.T, file string) {
	t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var s imagev1.ImageStream
	if err := json.Unmarshal(content, &s); err != nil || s.Kind != "ImageStream" || len(s.Spec.Tags) == 0 {
		t.Fatalf("%s is no image stream with tags: %v", file, err)
	}
	c.streams = append(c.streams, s)
	if s.APIVersion != legacyVersion {
		c.files = append(c.files, file)
		return
	}
	copied := filepath.Join(t.TempDir(), filepath.Base(file))
	regrouped := legacyLine.ReplaceAll(content, []byte(`$1"`+imagev1.GroupVersion.String()+`"`))
	if err := os.WriteFile(copied, regrouped, 0o600); err != nil {
		t.Fatal(err)
	}
	c.legacy, c.regrouped = append(c.legacy, file), append(c.regrouped, copied)
}

// tags counts the tags by what they follow.
func (c collection) tags() (images, aliases int) {
	for i := range c.streams {
		for _, tag := range c.streams[i].Spec.Tags {
			if tag.From.Kind == "DockerImage" {
				images++
			} else {
				aliases++
			}
		}
	}
	return images, aliases
}

// names are the images that tags of the collections follow, and the hosts in them,
// each once.
func names(all []collection) (images, hosts []string) {
	byName, byHost := map[string]bool{}, map[string]bool{}
	for _, c := range all {
		for i := range c.streams {
			maps.Copy(byHost, hostsOf(&c.streams[i]))
			for _, tag := range c.streams[i].Spec.Tags {
				if tag.From.Kind == "DockerImage" {
					byName[tag.From.Name] = true
				}
			}
		}
	}
	return slices.Sorted(maps.Keys(byName)), slices.Sorted(maps.Keys(byHost))
}

// hostsOf is the set of registry hosts that the stream's tags name.
func hostsOf(s *imagev1.ImageStream) map[string]bool {
	hosts := map[string]bool{}
	for _, tag := range s.Spec.Tags {
		if tag.From.Kind == "DockerImage" {
			host, _, _ := strings.Cut(tag.From.Name, "/")
			hosts[host] = true
		}
	}
	return hosts
}
