package importer

import (
	"context"

	digest "github.com/opencontainers/go-digest"
	"github.com/openshift/api/image/docker10"
	imagev1 "github.com/openshift/api/image/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"weir.dev/weir/internal/imageapi/dockerimage"
)

// read returns the images of a manifest: one in Legacy mode, the list and all of its entries in
// PreserveOriginal mode.
func (t *tagImport) read(ctx context.Context, top fetched, mode imagev1.ImportModeType) (*imagev1.Image, []imagev1.Image, error) {
	if preserves(mode) {
		tree, err := t.preserve(ctx, top, 0)
		if err != nil {
			return nil, nil, err
		}
		return tree.image, tree.distinctMembers(), nil
	}
	chosen, doc, err := t.choose(ctx, top)
	if err != nil {
		return nil, nil, err
	}
	built, err := t.imageOf(ctx, chosen, doc)
	if err != nil {
		return nil, nil, err
	}
	t.remembered.choices.Add(t.choice(top.digest), chosen.digest)
	return built.image, nil, nil
}

// choose selects the one image of a Legacy import. It decides by the platforms in the list, and
// descends into an entry that is a list.
func (t *tagImport) choose(ctx context.Context, m fetched) (fetched, document, error) {
	doc, err := t.parse(m)
	for depth := 0; err == nil && doc.kind == kindList; depth++ {
		var entries []listEntry
		if entries, err = t.flatten(ctx, m, doc.entries, depth); err != nil {
			break
		}
		i := choosePlatform(entries, t.platform)
		if i < 0 {
			return m, doc, &refError{ref: t.name(m.digest), err: contentErrorf("the manifest list is empty")}
		}
		if m, err = t.at(ctx, entries[i].Digest); err == nil {
			doc, err = t.parse(m)
		}
	}
	return m, doc, err
}

// flatten replaces nested lists by their entries, in place. If the list itself has an image of the
// wanted platform, it omits nested lists to save the calls.
func (t *tagImport) flatten(ctx context.Context, m fetched, entries []listEntry, depth int) ([]listEntry, error) {
	if depth > maxListDepth {
		return nil, t.tooDeep(m)
	}
	expand := !hasPlatform(entries, t.platform)
	var flat []listEntry
	for _, entry := range entries {
		if !entry.isList() {
			flat = append(flat, entry)
			continue
		}
		if !expand {
			continue
		}
		nested, err := t.at(ctx, entry.Digest)
		if err != nil {
			return nil, err
		}
		doc, err := t.parse(nested)
		if err != nil {
			return nil, err
		}
		if doc.kind != kindList {
			flat = append(flat, entry)
			continue
		}
		below, err := t.flatten(ctx, nested, doc.entries, depth+1)
		if err != nil {
			return nil, err
		}
		flat = append(flat, below...)
	}
	return flat, nil
}

func (t *tagImport) tooDeep(m fetched) error {
	return &refError{
		ref: t.name(m.digest),
		err: contentErrorf("manifest lists are nested more than %d levels deep", maxListDepth),
	}
}

// tree is an image and, if it is a list, its members.
type tree struct {
	builtImage
	members []imagev1.Image // in list order, those of a list within before the list itself
}

// distinctMembers removes duplicates: a list may name one manifest for several platforms.
func (t tree) distinctMembers() []imagev1.Image {
	seen := map[string]bool{t.image.Name: true}
	var distinct []imagev1.Image
	for _, m := range t.members {
		if !seen[m.Name] {
			seen[m.Name] = true
			distinct = append(distinct, m)
		}
	}
	return distinct
}

// preserve returns the images of a manifest and of every manifest below it. The failure of one
// fails the tag, since an incomplete list would look complete.
func (t *tagImport) preserve(ctx context.Context, m fetched, depth int) (tree, error) {
	doc, err := t.parse(m)
	if err != nil {
		return tree{}, err
	}
	if doc.kind != kindList {
		built, err := t.imageOf(ctx, m, doc)
		return tree{builtImage: built}, err
	}
	if depth > maxListDepth {
		return tree{}, t.tooDeep(m)
	}
	distinct, index := distinctDigests(doc.entries)
	if most := t.options.Limits.ManifestsPerTag; len(distinct) > most { // before any of them is fetched
		return tree{}, &refError{ref: t.name(m.digest), err: tooManyManifests(most)}
	}
	children := make([]tree, len(distinct))
	err = forEach(ctx, len(distinct), t.options.Concurrency, t.spec.String(), func(i int) error {
		child, err := t.at(ctx, distinct[i])
		if err != nil {
			return err
		}
		children[i], err = t.preserve(ctx, child, depth+1)
		return err
	})
	if err != nil {
		return tree{}, err
	}
	return t.listOf(m, doc, children, index)
}

// distinctDigests returns the distinct digests of entries, and the index of each entry's digest.
func distinctDigests(entries []listEntry) (distinct []digest.Digest, index []int) {
	at := make(map[digest.Digest]int, len(entries))
	for _, e := range entries {
		i, ok := at[e.Digest]
		if !ok {
			i = len(distinct)
			at[e.Digest] = i
			distinct = append(distinct, e.Digest)
		}
		index = append(index, i)
	}
	return distinct, index
}

// listOf returns the image of a list from those of its children; index maps entries to children.
func (t *tagImport) listOf(m fetched, doc document, children []tree, index []int) (tree, error) {
	image := t.newImage(m, doc)
	for i, entry := range doc.entries {
		image.DockerImageManifests = append(image.DockerImageManifests, imageManifest(entry, children[index[i]].builtImage))
	}
	metadata := docker10.DockerImage{ID: m.digest.String(), Created: metav1.NewTime(t.options.Now())}
	if err := dockerimage.SetMetadata(image, metadata); err != nil {
		return tree{}, &refError{ref: t.name(m.digest), err: err}
	}
	if err := t.checkSize(image, t.name(m.digest)); err != nil {
		return tree{}, err
	}
	out := tree{builtImage: builtImage{image: image, mediaType: doc.mediaType}}
	for _, child := range children {
		out.members = append(out.members, child.members...)
		out.members = append(out.members, *child.image)
	}
	return out, nil
}

// imageManifest returns the API form of a list's entry. The API requires architecture and operating
// system of each; an entry without (as nested lists and artifacts) gets those of its config, or
// "unknown", which build tools write for entries that are not runnable.
func imageManifest(entry listEntry, child builtImage) imagev1.ImageManifest {
	platform := entry.Platform
	if platform.Architecture == "" || platform.OS == "" {
		platform = platform.orElse(configPlatform(child.config)).orElse(Platform{Architecture: unknownPart, OS: unknownPart})
	}
	mediaType := entry.MediaType
	if !mediaTypeGrammar.MatchString(mediaType) {
		mediaType = child.mediaType
	}
	return imagev1.ImageManifest{
		Digest:       entry.Digest.String(),
		MediaType:    mediaType,
		ManifestSize: entry.Size,
		Architecture: platform.Architecture,
		OS:           platform.OS,
		Variant:      entry.Variant,
	}
}
