package streams

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	digest "github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	imagev1 "github.com/openshift/api/image/v1"
)

// storage is the registry's, with manifests that were pushed and what they lacked.
type storage struct {
	manifests map[digest.Digest][]byte
	missing   map[digest.Digest][]digest.Digest
}

func (s *storage) read(_ context.Context, d digest.Digest) ([]byte, []digest.Digest, error) {
	return s.manifests[d], s.missing[d], nil
}

// push stores the manifest that an Image describes, without the parts that are named.
func (s *storage) push(img *imagev1.Image, missing ...string) {
	var p parts
	for _, layer := range img.DockerImageLayers {
		p.Layers = append(p.Layers, ocispec.Descriptor{Digest: digest.Digest(layer.Name), Size: layer.LayerSize})
	}
	for _, m := range img.DockerImageManifests {
		p.Manifests = append(p.Manifests, ocispec.Descriptor{Digest: digest.Digest(m.Digest), Size: m.ManifestSize})
	}
	content, err := json.Marshal(p)
	if err != nil {
		panic(err)
	}
	d := digest.Digest(img.Name)
	s.manifests[d] = content
	for _, part := range missing {
		s.missing[d] = append(s.missing[d], id(part))
	}
}

// What belongs through images of this registry is held; what belongs only because another
// registry says so is not, and what only an Image says opens nothing at all.
func TestHeldContent(t *testing.T) {
	image := plain("image", "base", "top")
	inner, index := list("inner", "image"), list("index", "inner", "gone")
	for name, test := range map[string]struct {
		push func(*storage)
		tags []string
		// held, elsewhere and none are blobs by how they belong.
		held, through, elsewhere, none string
	}{
		"pushed whole":                   {push: func(s *storage) { s.push(image) }, tags: []string{"image"}, held: "image base top"},
		"pushed without a layer":         {push: func(s *storage) { s.push(image, "top") }, tags: []string{"image"}, held: "image base", none: "top"},
		"never pushed":                   {tags: []string{"image"}, none: "image base top"},
		"imported":                       {tags: []string{"image=evil.test/x/y"}, elsewhere: "image base top"},
		"imported, and pushed elsewhere": {push: func(s *storage) { s.push(image) }, tags: []string{"image=evil.test/x/y"}, elsewhere: "image base top"},
		"imported, and claimed as own":   {tags: []string{"image", "image=evil.test/x/y"}, elsewhere: "image base top"},
		"imported, and pushed in part": {
			push: func(s *storage) { s.push(image, "top") }, tags: []string{"image", "image=evil.test/x/y"},
			held: "image base", elsewhere: "top",
		},
		"pushed when the registry had another name": {
			push: func(s *storage) { s.push(image) }, tags: []string{"image=before.test:5000/ns/app"}, held: "image base top",
		},
		"pushed to another repository": {
			push: func(s *storage) { s.push(image) }, tags: []string{"image=" + ownHost + "/ns/other"}, through: "image base top",
		},
		"referred to in another repository": {tags: []string{"image=" + ownHost + "/ns/other"}, elsewhere: "image base top"},
		"lists pushed whole": {
			push: func(s *storage) { s.push(image); s.push(inner); s.push(index) }, tags: []string{"index"},
			held: "index inner image base top", none: "gone",
		},
		"a list pushed without a list": {
			push: func(s *storage) { s.push(image); s.push(inner); s.push(index, "inner", "gone") }, tags: []string{"index"},
			held: "index", none: "inner image base top gone",
		},
		"a list pushed without a list that is there too": {
			push: func(s *storage) { s.push(image); s.push(inner); s.push(index, "inner", "gone") }, tags: []string{"index", "inner"},
			held: "index inner image base top",
		},
		"an imported list of what was pushed elsewhere": {
			push: func(s *storage) { s.push(image); s.push(inner) }, tags: []string{"index=evil.test/x/y"},
			elsewhere: "index inner image base top",
		},
		"a list pushed over imported ones": {
			push: func(s *storage) { s.push(index, "inner") }, tags: []string{"index", "inner=quay.io/x/y"},
			held: "index", elsewhere: "inner image base top",
		},
	} {
		t.Run(name, func(t *testing.T) {
			s, stored := newSite(newWorld(image, inner, index)), &storage{map[digest.Digest][]byte{}, map[digest.Digest][]digest.Digest{}}
			s.all.images.stored = stored.read
			if test.push != nil {
				test.push(stored)
			}
			s.follow(test.tags)
			s.wantStanding(t, test.held, "held")
			s.wantStanding(t, test.through, "through another repository")
			s.wantStanding(t, test.elsewhere, "elsewhere")
			s.wantStanding(t, test.none, "not at all")
		})
	}
}

// wantStanding compares how blobs belong.
func (s *site) wantStanding(t *testing.T, names, want string) {
	t.Helper()
	for _, name := range strings.Fields(names) {
		origin, err := s.find(t.Context(), id(name), asBlob)
		fatal(t, err)
		got := "not at all"
		switch {
		case origin != nil && origin.Held:
			got = "held"
		case origin != nil && len(origin.Through) > 0:
			got = "through another repository"
		case origin != nil && len(origin.Sources) > 0:
			got = "elsewhere"
		}
		if got != want {
			t.Errorf("%s belongs: %s, want %s", name, got, want)
		}
	}
}

// An image that was imported and is pushed afterwards is held as soon as the stream says
// so, and where another process pushed it, too.
func TestImportedImagesThatArePushedLater(t *testing.T) {
	image := plain("image", "layer")
	s, stored := newSite(newWorld(image)), &storage{map[digest.Digest][]byte{}, nil}
	s.all.images.stored = stored.read
	s.follow([]string{"image=quay.io/x/y"})
	s.wantStanding(t, "image layer", "elsewhere")
	stored.push(image)
	s.wantStanding(t, "image layer", "elsewhere")
	s.follow([]string{"image=quay.io/x/y"}, []string{"image"})
	s.wantStanding(t, "image layer", "held")

	// The same when the notice of the event comes before the manifest.
	late := plain("late", "late-layer")
	s.world.add(late)
	s.follow([]string{"late"})
	s.wantStanding(t, "late late-layer", "not at all")
	stored.push(late)
	s.clock.pass(2 * absentFor)
	s.wantStanding(t, "late late-layer", "held")
}

// A layer that an image of another registry has in common with one of this registry is
// held, also where that one was not looked at before.
func TestHeldContentIsLookedFor(t *testing.T) {
	base, mine := plain("imported", "common"), plain("mine", "common", "own")
	s, stored := newSite(newWorld(base, mine)), &storage{map[digest.Digest][]byte{}, nil}
	s.all.images.stored = stored.read
	stored.push(mine)
	s.follow([]string{"imported=quay.io/x/y"}, []string{"mine"})
	s.reads(t, asManifest, "imported", true)
	s.wantStanding(t, "common own", "held")
	s.wantStanding(t, "imported", "elsewhere")
}

// The children of a list that is pushed over imported images are held as soon as the list
// is known.
func TestChildrenOfLaterLists(t *testing.T) {
	image, index := plain("image", "layer"), list("index", "image")
	s, stored := newSite(newWorld(image, index)), &storage{map[digest.Digest][]byte{}, nil}
	s.all.images.stored = stored.read
	s.follow([]string{"image=quay.io/x/y"})
	s.wantStanding(t, "image layer", "elsewhere")
	stored.push(image)
	stored.push(index)
	s.follow([]string{"image=quay.io/x/y"}, []string{"index"})
	s.reads(t, asManifest, "index", true)
	s.wantStanding(t, "image layer", "held")
}

// A search ends however long it takes to ask for what is not there.
func TestSearchesEnd(t *testing.T) {
	w := newWorld()
	names := numbered("old", 3*maxLookups)
	for _, name := range names {
		w.add(plain(name, name+"-layer"))
	}
	s, stored := newSite(w), &storage{map[digest.Digest][]byte{}, nil}
	s.all.images.stored = stored.read // which has none of them: they were taken over
	w.during = func() { s.clock.pass(absentFor) }
	s.follow(names)
	s.reads(t, asBlob, "old1-layer", false)
	if n := w.requests(); n > 4*len(names) {
		t.Errorf("the search took %d requests for %d images", n, len(names))
	}
}
