package ociregistry_test

import (
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"

	digest "github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"weir.dev/weir/internal/ociregistry"
)

// refersTo makes n entries of referrers, each with annotations of a size, and returns their digests,
// sorted. Their manifests are linked, and not stored.
func (r *registry) refersTo(repo string, subject digest.Digest, n, annotation int) []string {
	r.t.Helper()
	s, err := r.directory.Stream(r.t.Context(), parse(r.t, repo), false)
	if err != nil {
		r.t.Fatal(err)
	}
	var all []string
	for i := range n {
		d := digest.FromString(fmt.Sprint(subject, i))
		entry := ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: d, Size: 7, ArtifactType: []string{"a/a", "b/b"}[i%2]}
		if annotation > 0 {
			entry.Annotations = map[string]string{"x": strings.Repeat("x", annotation)}
		}
		if err := r.store.LinkManifest(r.t.Context(), s.Repository(), d); err != nil {
			r.t.Fatal(err)
		}
		if err := r.store.AddReferrer(r.t.Context(), repo, subject, entry); err != nil {
			r.t.Fatal(err)
		}
		all = append(all, d.String())
	}
	slices.Sort(all)
	return all
}

// referrersPage is one answer, and where its Link header leads.
type referrersPage struct {
	digests []string
	bytes   int
	next    string
}

func (r *registry) referrersPage(path string) referrersPage {
	r.t.Helper()
	got := r.want(200, "", r.do("GET", path, nil))
	page := referrersPage{bytes: len(got.body)}
	var list ocispec.Index
	if err := json.Unmarshal(got.body, &list); err != nil {
		r.t.Fatal(err)
	}
	for _, d := range list.Manifests {
		page.digests = append(page.digests, d.Digest.String())
	}
	if link := got.header.Get("Link"); link != "" {
		target, rel, _ := strings.Cut(link, ">")
		page.next = strings.TrimPrefix(target, "<")
		if rel != `; rel="next"` {
			r.t.Errorf("Link is %q", link)
		}
	}
	return page
}

// TestReferrersPages holds that pages are bounded in number and in bytes, that no entry is left out
// or repeated, and that the filter goes along.
func TestReferrersPages(t *testing.T) {
	for name, test := range map[string]struct {
		entries, annotation int
		query               url.Values
		pages, maxBytes     int
		want                func(all []string) []string
	}{
		"number":  {entries: 2300, pages: 3},
		"asked":   {entries: 10, query: url.Values{"n": {"4"}}, pages: 3},
		"exactly": {entries: 8, query: url.Values{"n": {"4"}}, pages: 2},
		"bytes":   {entries: 9, annotation: 1 << 20, pages: 3, maxBytes: 4 << 20},
		"large":   {entries: 3, annotation: 4 << 20, pages: 3, maxBytes: 4<<20 + 1<<10},
		"filter":  {entries: 2300, query: url.Values{"artifactType": {"a/a"}}, pages: 3},
		"none":    {entries: 3, query: url.Values{"n": {"0"}}, pages: 1, want: func([]string) []string { return nil }},
	} {
		t.Run(name, func(t *testing.T) {
			r := start(t)
			r.push("shop/web", "1", r.image("shop/web", "1"))
			subject := digest.FromString(name)
			want := r.refersTo("shop/web", subject, test.entries, test.annotation)
			if test.query.Get("artifactType") != "" {
				want = slices.DeleteFunc(want, func(d string) bool {
					entry, err := r.store.Referrer(t.Context(), "shop/web", subject, digest.Digest(d), 1<<10)
					return err != nil || entry.ArtifactType != "a/a"
				})
			}
			if test.want != nil {
				want = test.want(want)
			}
			var got []string
			pages := 0
			for next := "/v2/shop/web/referrers/" + subject.String() + "?" + test.query.Encode(); next != "" && pages < 20; pages++ {
				page := r.referrersPage(next)
				if test.maxBytes > 0 && page.bytes > test.maxBytes {
					t.Errorf("a page has %d bytes", page.bytes)
				}
				got, next = append(got, page.digests...), page.next
			}
			if !slices.Equal(got, want) || pages != test.pages {
				t.Errorf("%d pages have %d entries, want %d with %d", pages, len(got), test.pages, len(want))
			}
		})
	}
}

// TestReferrersWithoutMemory holds that a page ends early where there is no memory for all of it.
func TestReferrersWithoutMemory(t *testing.T) {
	r := start(t, func(o *ociregistry.Options) { o.MaxContentBytes = 4 << 20 })
	r.push("shop/web", "1", r.image("shop/web", "1"))
	subject := digest.FromString("subject")
	want := r.refersTo("shop/web", subject, 6, 300<<10)
	var got []string
	for next := "/v2/shop/web/referrers/" + subject.String(); next != ""; {
		page := r.referrersPage(next)
		if page.bytes > 1<<20+1<<10 {
			t.Errorf("a page has %d bytes", page.bytes)
		}
		got, next = append(got, page.digests...), page.next
	}
	if !slices.Equal(got, want) {
		t.Errorf("the pages have %v, want %v", got, want)
	}
}
