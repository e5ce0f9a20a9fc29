package tagview

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"
	imagev1 "github.com/openshift/api/image/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metainternalversion "k8s.io/apimachinery/pkg/apis/meta/internalversion"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"

	"weir.dev/weir/internal/stream"
)

// pages is a list of streams in pages, as of version 7. Its tokens are indexes.
type pages struct {
	streams []imagev1.ImageStream
	asked   []metainternalversion.ListOptions
}

func (p *pages) list(_ context.Context, o *metainternalversion.ListOptions) (*imagev1.ImageStreamList, error) {
	p.asked = append(p.asked, *o)
	first := 0
	if o.Continue != "" {
		var err error
		if first, err = strconv.Atoi(o.Continue); err != nil {
			return nil, err
		}
	}
	last := len(p.streams)
	list := &imagev1.ImageStreamList{ListMeta: metav1.ListMeta{ResourceVersion: "7"}}
	if o.Limit > 0 && first+int(o.Limit) < last {
		last = first + int(o.Limit)
		list.Continue = strconv.Itoa(last)
	}
	list.Items = p.streams[first:last]
	return list, nil
}

func streamOf(namespace, name string, tags ...string) imagev1.ImageStream {
	s := imagev1.ImageStream{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
	for _, tag := range tags {
		s.Spec.Tags = append(s.Spec.Tags, imagev1.TagReference{Name: tag})
	}
	return s
}

// walk lists all, page by page.
func walk(t *testing.T, p *pages, o metainternalversion.ListOptions) (names []string, sizes []int) {
	t.Helper()
	for {
		tags, meta, err := List(t.Context(), p.list, stream.TagNames, &o)
		if err != nil {
			t.Fatal(err)
		}
		if meta.ResourceVersion != "7" {
			t.Errorf("resourceVersion %q, want that of the streams", meta.ResourceVersion)
		}
		for _, tag := range tags {
			names = append(names, tag.Stream.Namespace+"/"+tag.Stream.Name+":"+tag.Name)
		}
		sizes = append(sizes, len(tags))
		if len(sizes) > 1000 {
			t.Fatal("the pages do not end")
		}
		if o.Continue = meta.Continue; o.Continue == "" {
			return names, sizes
		}
	}
}

// someStreams are in the order of the store, in which "a-b/…" is before "a/…".
func someStreams() []imagev1.ImageStream {
	streams := []imagev1.ImageStream{
		streamOf("a-b", "s", "1", "2"), streamOf("a", "empty"), streamOf("a", "s", "1"),
		streamOf("a", "t", "1", "2", "3"), streamOf("b", "s", "latest"), streamOf("b", "t"),
	}
	for i := range 200 {
		streams = append(streams, streamOf("c", fmt.Sprintf("%03d", i)))
	}
	return append(streams, streamOf("d", "s", "1", "2"))
}

func TestPagesOfEveryLimitHoldEveryTagOnce(t *testing.T) {
	all := []string{"a-b/s:1", "a-b/s:2", "a/s:1", "a/t:1", "a/t:2", "a/t:3", "b/s:latest", "d/s:1", "d/s:2"}
	for limit := range int64(len(all) + 2) {
		t.Run(fmt.Sprint(limit), func(t *testing.T) {
			p := &pages{streams: someStreams()}
			names, sizes := walk(t, p, metainternalversion.ListOptions{Limit: limit})
			if diff := cmp.Diff(all, names); diff != "" {
				t.Errorf("listed (-want +got):\n%s", diff)
			}
			for i, size := range sizes {
				if limit > 0 && (int64(size) > limit || (i < len(sizes)-1 && int64(size) < limit)) {
					t.Errorf("pages of %v with limit %d", sizes, limit)
				}
			}
			if limit == 0 && len(p.asked) != 1 {
				t.Errorf("a list without limit took %d lists of streams", len(p.asked))
			}
		})
	}
}

func TestNegativeLimitIsNone(t *testing.T) {
	if _, sizes := walk(t, &pages{streams: someStreams()}, metainternalversion.ListOptions{Limit: -1}); len(sizes) != 1 {
		t.Errorf("pages of %v", sizes)
	}
}

func TestStreamsAreReadInGrowingChunks(t *testing.T) {
	p := &pages{streams: someStreams()}
	walk(t, p, metainternalversion.ListOptions{Limit: 100})
	var limits []int64
	for _, o := range p.asked {
		limits = append(limits, o.Limit)
	}
	if diff := cmp.Diff([]int64{64, 128, 256}, limits); diff != "" {
		t.Errorf("limits (-want +got):\n%s", diff)
	}
}

func TestFirstPageIsOfTheVersionAskedFor(t *testing.T) {
	p := &pages{streams: []imagev1.ImageStream{streamOf("n", "s", "1", "2", "3")}}
	want := metainternalversion.ListOptions{Limit: 1, ResourceVersion: "5", ResourceVersionMatch: metav1.ResourceVersionMatchNotOlderThan}
	if _, _, err := List(t.Context(), p.list, stream.TagNames, &want); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]metainternalversion.ListOptions{want}, p.asked); diff != "" {
		t.Errorf("asked (-want +got):\n%s", diff)
	}
}

func TestPageInsideTheFirstChunkIsContinuedAtItsVersion(t *testing.T) {
	p := &pages{streams: []imagev1.ImageStream{streamOf("n", "s", "1", "2", "3")}}
	walk(t, p, metainternalversion.ListOptions{Limit: 1})
	for _, o := range p.asked[1:] {
		if o.ResourceVersion != "7" || o.ResourceVersionMatch != metav1.ResourceVersionMatchExact || o.Continue != "" {
			t.Errorf("went on with %+v", o)
		}
	}
	if len(p.asked) != 3 {
		t.Errorf("asked %d times", len(p.asked))
	}
}

func TestFieldSelectors(t *testing.T) {
	for selector, test := range map[string]struct {
		streams string // what is asked of the streams
		want    []string
	}{
		"":                                 {"", []string{"n/s:1", "n/s:2", "n/t:1"}},
		"metadata.name=s:1":                {"metadata.name=s", []string{"n/s:1"}},
		"metadata.name==s:3":               {"metadata.name=s", nil},
		"metadata.name=s":                  {"metadata.name=s", nil},
		"metadata.name!=s:1":               {"", []string{"n/s:2", "n/t:1"}},
		"metadata.namespace=n":             {"metadata.namespace=n", []string{"n/s:1", "n/s:2", "n/t:1"}},
		"metadata.namespace!=m":            {"metadata.namespace!=m", []string{"n/s:1", "n/s:2", "n/t:1"}},
		"metadata.name=t:1,metadata.name=": {"metadata.name=,metadata.name=t", nil},
		"metadata.namespace=n,metadata.name!=s:1,metadata.name!=s:2": {"metadata.namespace=n", []string{"n/t:1"}},
	} {
		t.Run(selector, func(t *testing.T) {
			p := &pages{streams: []imagev1.ImageStream{streamOf("n", "s", "1", "2"), streamOf("n", "t", "1")}}
			parsed, err := fields.ParseSelector(selector)
			if err != nil {
				t.Fatal(err)
			}
			names, _ := walk(t, p, metainternalversion.ListOptions{FieldSelector: parsed})
			if diff := cmp.Diff(test.want, names); diff != "" {
				t.Errorf("selected (-want +got):\n%s", diff)
			}
			asked := ""
			if s := p.asked[0].FieldSelector; s != nil {
				asked = s.String()
			}
			if asked != test.streams {
				t.Errorf("asked streams for %q, want %q", asked, test.streams)
			}
		})
	}
}

func TestForeignTokensAreRefused(t *testing.T) {
	encode := func(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }
	for _, token := range []string{"x!", "x", encode("nonsense"), encode("{}"), encode(`{"rv":"7"}`), encode(`{"stream":"n/s","tag":"1"}`), encode(`{"rv":"0","stream":"n/s"}`), encode(`[]`)} {
		_, _, err := List(t.Context(), (&pages{}).list, stream.TagNames, &metainternalversion.ListOptions{Continue: token})
		if !apierrors.IsBadRequest(err) {
			t.Errorf("token %q: %v", token, err)
		}
	}
	at := position{Continue: "1"}.token()
	if _, _, err := List(t.Context(), (&pages{}).list, stream.TagNames, &metainternalversion.ListOptions{Continue: at, ResourceVersion: "7"}); !apierrors.IsBadRequest(err) {
		t.Errorf("token with a version: %v", err)
	}
}

func TestExpiredTokenComesWithOneToGoOnWith(t *testing.T) {
	expired := apierrors.NewResourceExpired("too old")
	expired.ErrStatus.Continue = "3"
	at := position{Continue: "2", Stream: "n/s", Tag: "1"}
	_, _, err := List(t.Context(), func(context.Context, *metainternalversion.ListOptions) (*imagev1.ImageStreamList, error) {
		return nil, expired
	}, stream.TagNames, &metainternalversion.ListOptions{Continue: at.token()})
	var status *apierrors.StatusError
	if !apierrors.IsResourceExpired(err) || !errors.As(err, &status) {
		t.Fatalf("got %v", err)
	}
	got, err := parsePosition(status.ErrStatus.Continue)
	if want := (position{Continue: "3", Stream: "n/s", Tag: "1"}); err != nil || got != want {
		t.Errorf("token is of %+v, %v; want %+v", got, err, want)
	}
	if expired.ErrStatus.Continue != "3" {
		t.Error("the store's own error was changed")
	}
}

// FuzzParsePosition: what is taken names a place, and is told again as it was.
func FuzzParsePosition(f *testing.F) {
	f.Add("")
	f.Add("e30")
	f.Add(position{ResourceVersion: "7", Stream: "n/s", Tag: "latest"}.token())
	f.Add(position{Continue: "eyJ2IjoibWV0YS5rOHMuaW8vdjEifQ", Stream: "n/s", Tag: "1"}.token())
	f.Fuzz(func(t *testing.T, token string) {
		p, err := parsePosition(token)
		if err != nil {
			return
		}
		if p.Continue == "" && p.ResourceVersion == "" {
			t.Errorf("%q was taken for %+v", token, p)
		}
		if again, err := parsePosition(p.token()); err != nil || again != p {
			t.Errorf("%+v became %+v, %v", p, again, err)
		}
	})
}
