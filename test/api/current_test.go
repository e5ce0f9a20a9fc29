package api_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	imagev1 "github.com/openshift/api/image/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"golang.org/x/sync/errgroup"
)

// shownWrite is a write, and the reads that show it.
type shownWrite struct {
	name  string
	write func(round int) error
	// reads are paths whose answers hold the text, or, with a "!" before it, do not.
	reads func(round int) map[string]string
}

// TestReadsShowTheirWrites reads every resource right after a write of the object behind it, while
// others write the same objects and others of their kinds.
func TestReadsShowTheirWrites(t *testing.T) {
	ns := env.Namespace(t, "current")
	makeStream(t, ns, "s")
	img := digestOf(t, "current")
	push(t, ns, "s", "1", plainImage(img))
	post(t, streamTags(ns, ""), referenceTag("s:ref", "registry.example.com/x:0", "")).wantCode(t, http.StatusCreated)
	ctx, stop := context.WithCancel(t.Context())
	var writers errgroup.Group
	for i := range 2 {
		writers.Go(func() error { return disturb(ctx, ns, img, i) })
	}
	defer func() {
		stop()
		if err := writers.Wait(); err != nil {
			t.Error(err)
		}
	}()
	for _, shown := range writesOf(t, ns, img) {
		t.Run(shown.name, func(t *testing.T) {
			for round := range 12 {
				if err := shown.write(round); err != nil {
					t.Fatal(err)
				}
				for path, text := range shown.reads(round) {
					r := get(t, path)
					unwanted, absent := strings.CutPrefix(text, "!")
					if absent == strings.Contains(string(r.body), unwanted) {
						t.Fatalf("round %d: GET %s does not show the write (%s): %d %s", round, path, text, r.code, r.body)
					}
				}
			}
		})
	}
}

// disturb writes the stream, the Image, and others of both kinds until ctx ends.
func disturb(ctx context.Context, ns, img string, writer int) error {
	for n := 0; ctx.Err() == nil; n++ {
		body := fmt.Sprintf(`{"metadata":{"labels":{"writer%d":"n%d"}}}`, writer, n)
		for _, path := range []string{groupPath + "/images/" + img, inNamespace(ns, "imagestreams/s")} {
			r, err := send(ctx, env.Config, http.MethodPatch, path, body, []string{"Content-Type", mergePatch})
			if err != nil && ctx.Err() == nil || err == nil && r.code != http.StatusOK {
				return fmt.Errorf("PATCH %s: %d %s (%v)", path, r.code, r.body, err)
			}
		}
	}
	return nil
}

func writesOf(t *testing.T, ns, img string) []shownWrite {
	images := groupPath + "/images"
	do := func(method, path, body, kind string, codes ...int) error {
		r, err := send(t.Context(), env.Config, method, path, body, []string{"Content-Type", kind})
		for _, code := range codes {
			if err == nil && r.code == code {
				return nil
			}
		}
		return fmt.Errorf("%s %s: %d %s (%v)", method, path, r.code, r.body, err)
	}
	streamPath := inNamespace(ns, "imagestreams/s")
	everywhere := func(text string) map[string]string {
		return map[string]string{
			images + "/" + img: text, images: text, streamTags(ns, "/s:1"): text, imageTags(ns, "/s:1"): text,
			inNamespace(ns, "imagestreamimages/s@"+img): text,
		}
	}
	mark := func(round int) string { return fmt.Sprintf("mark-%d-", round) }
	return []shownWrite{
		{"annotate an Image", func(round int) error {
			return do(http.MethodPatch, images+"/"+img, `{"metadata":{"annotations":{"mark":"`+mark(round)+`"}}}`, mergePatch, http.StatusOK)
		}, func(round int) map[string]string { return everywhere(mark(round)) }},
		{"sign an Image", func(round int) error {
			return do(http.MethodPost, signaturesPath, signature(img+"@"+mark(round)+"signature", mark(round)), "application/json", http.StatusCreated)
		}, func(round int) map[string]string { return everywhere(mark(round) + "signature") }},
		{"label a stream", func(round int) error {
			return do(http.MethodPatch, streamPath, `{"metadata":{"labels":{"mark":"`+mark(round)+`x"}}}`, mergePatch, http.StatusOK)
		}, func(round int) map[string]string {
			text := mark(round) + "x"
			return map[string]string{
				streamPath: text, streamPath + "/status": text, inNamespace(ns, "imagestreams"): text, streamPath + "/layers": text,
				streamTags(ns, "/s:1"): text, streamTags(ns, ""): text, imageTags(ns, "/s:1"): text, imageTags(ns, ""): text,
			}
		}},
		{"move a tag", func(round int) error {
			return do(http.MethodPatch, streamTags(ns, "/s:ref"), fmt.Sprintf(`{"tag":{"from":{"name":"registry.example.com/x:%s"}}}`, mark(round)), mergePatch, http.StatusOK)
		}, func(round int) map[string]string {
			return map[string]string{streamPath: mark(round), imageTags(ns, "/s:ref"): mark(round), imageTags(ns, ""): mark(round), inNamespace(ns, "imagestreams"): mark(round)}
		}},
		{"push an Image", func(round int) error {
			body := mapping(t, "s", mark(round)+"tag", plainImage(digestOf(t, mark(round))))
			return do(http.MethodPost, inNamespace(ns, "imagestreammappings"), body, "application/json", http.StatusCreated)
		}, func(round int) map[string]string {
			pushed := digestOf(t, mark(round))
			return map[string]string{
				images + "/" + pushed: `"kind":"Image"`, images: pushed, streamTags(ns, "/s:"+mark(round)+"tag"): layerDigest(pushed),
				streamTags(ns, ""): pushed, streamPath + "/layers": layerDigest(pushed), inNamespace(ns, "imagestreamimages/s@"+pushed): layerDigest(pushed),
			}
		}},
		{"delete an Image", func(round int) error {
			return do(http.MethodDelete, images+"/"+digestOf(t, mark(round)), "", "application/json", http.StatusOK)
		}, func(round int) map[string]string {
			pushed := digestOf(t, mark(round))
			return map[string]string{
				images + "/" + pushed: `"code":404`, images: "!" + pushed, streamTags(ns, "/s:"+mark(round)+"tag"): `"code":404`,
				imageTags(ns, "/s:"+mark(round)+"tag"): `"image":null`, inNamespace(ns, "imagestreamimages/s@"+pushed): `"code":404`,
				streamPath + "/layers": "!" + layerDigest(pushed),
			}
		}},
		{"delete a tag", func(round int) error {
			return do(http.MethodDelete, streamTags(ns, "/s:"+mark(round)+"tag"), "", "application/json", http.StatusOK)
		}, func(round int) map[string]string {
			tag := mark(round) + "tag"
			return map[string]string{streamTags(ns, "/s:"+tag): `"code":404`, imageTags(ns, ""): "!" + tag, streamPath: "!" + tag, streamTags(ns, ""): "!" + tag}
		}},
	}
}

// TestLayersOfManyImagesAreCurrent is for streams whose Images are too many to be read one by one.
func TestLayersOfManyImagesAreCurrent(t *testing.T) {
	ns := env.Namespace(t, "current")
	s := makeStream(t, ns, "s")
	const count = 40
	for i := range count {
		img := storeImage(t, digestOf(t, fmt.Sprint(i)))
		s.Status.Tags = append(s.Status.Tags, imagev1.NamedTagEventList{Tag: fmt.Sprintf("t%02d", i), Items: []imagev1.TagEvent{
			{Created: metav1.Now(), DockerImageReference: img.DockerImageReference, Image: img.Name, Generation: 1}}})
	}
	if _, err := env.Images.ImageV1().ImageStreams(ns).UpdateStatus(t.Context(), s, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	for i := range count {
		name := digestOf(t, fmt.Sprint(i))
		del(t, groupPath+"/images/"+name).wantCode(t, http.StatusOK)
		var got imagev1.ImageStreamLayers
		unmarshal(t, getLayers(t, ns, "s").body, &got)
		if len(got.Images) != count || !got.Images[name].ImageMissing {
			t.Fatalf("after %d deletions: %d images, the last that was deleted %+v", i+1, len(got.Images), got.Images[name])
		}
	}
}

// BenchmarkGetTagOfLongHistory reads one tag of a stream with thousands of tag events.
func BenchmarkGetTagOfLongHistory(b *testing.B) {
	for _, events := range []int{1, 5000} {
		b.Run(fmt.Sprint(events), func(b *testing.B) {
			path := longHistory(b, events)
			for b.Loop() {
				if r, err := send(b.Context(), env.Config, http.MethodGet, path, "", nil); err != nil || r.code != http.StatusOK {
					b.Fatalf("%d %s %v", r.code, r.body, err)
				}
			}
		})
	}
}

// longHistory makes a stream with so many events in the history of one tag, and returns the path of
// another tag of it.
func longHistory(b *testing.B, events int) string {
	b.Helper()
	ns := env.Namespace(b, "history")
	s, err := env.Images.ImageV1().ImageStreams(ns).Create(b.Context(), &imagev1.ImageStream{ObjectMeta: metav1.ObjectMeta{Name: "s"}}, metav1.CreateOptions{})
	if err != nil {
		b.Fatal(err)
	}
	img, err := env.Images.ImageV1().Images().Create(b.Context(), plainImage(fmt.Sprintf("sha256:%064x", time.Now().UnixNano())), metav1.CreateOptions{})
	if err != nil {
		b.Fatal(err)
	}
	long := imagev1.NamedTagEventList{Tag: "long"}
	for i := range events {
		name := fmt.Sprintf("sha256:%064x", i)
		long.Items = append(long.Items, imagev1.TagEvent{Created: metav1.Now(), DockerImageReference: "registry.example.com/app@" + name, Image: name, Generation: 1})
	}
	head := imagev1.TagEvent{Created: metav1.Now(), DockerImageReference: img.DockerImageReference, Image: img.Name, Generation: 1}
	s.Status.Tags = []imagev1.NamedTagEventList{long, {Tag: "short", Items: []imagev1.TagEvent{head}}}
	if _, err := env.Images.ImageV1().ImageStreams(ns).UpdateStatus(b.Context(), s, metav1.UpdateOptions{}); err != nil {
		b.Fatal(err)
	}
	return streamTags(ns, "/s:short")
}
