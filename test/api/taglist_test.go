package api_test

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// tagList is a list of tags as far as these tests look at it.
type tagList struct {
	Kind     string
	Metadata metav1.ListMeta
	Items    []struct{ Metadata metav1.ObjectMeta }
}

func (l tagList) names() []string {
	names := []string{}
	for _, item := range l.Items {
		names = append(names, item.Metadata.Name)
	}
	return names
}

// listTags lists tags; query is pairs of name and value.
func listTags(t *testing.T, path string, query ...string) tagList {
	t.Helper()
	values := url.Values{}
	for i := 0; i < len(query); i += 2 {
		values.Set(query[i], query[i+1])
	}
	var list tagList
	unmarshal(t, get(t, path+"?"+values.Encode()).wantCode(t, http.StatusOK).body, &list)
	if list.Metadata.ResourceVersion == "" {
		t.Errorf("a list of %s without resourceVersion", path)
	}
	return list
}

// taggedStreams makes streams s1 … s3 with the tags 1 and 2 each, pushed.
func taggedStreams(t *testing.T, ns string) {
	t.Helper()
	for _, name := range []string{"s2", "s1", "s3"} {
		makeStream(t, ns, name)
		for _, tag := range []string{"2", "1"} {
			push(t, ns, name, tag, plainImage(digestOf(t, name+tag)))
		}
	}
}

var sixTags = []string{"s1:1", "s1:2", "s2:1", "s2:2", "s3:1", "s3:2"}

// eachView runs a test for both views of tags.
func eachView(t *testing.T, test func(t *testing.T, ns, resource string)) {
	for _, resource := range []string{"imagestreamtags", "imagetags"} {
		t.Run(resource, func(t *testing.T) { test(t, env.Namespace(t, "taglist"), resource) })
	}
}

func TestTagListIsSorted(t *testing.T) {
	eachView(t, func(t *testing.T, ns, resource string) {
		taggedStreams(t, ns)
		if diff := cmp.Diff(sixTags, listTags(t, inNamespace(ns, resource)).names()); diff != "" {
			t.Errorf("listed (-want +got):\n%s", diff)
		}
		if empty := listTags(t, inNamespace("nowhere", resource)); len(empty.Items) != 0 {
			t.Errorf("a namespace that is not there has %v", empty.names())
		}
	})
}

func TestTagListInPages(t *testing.T) {
	eachView(t, func(t *testing.T, ns, resource string) {
		taggedStreams(t, ns)
		makeStream(t, ns, "s0")
		for limit, want := range map[string][]int{"1": {1, 1, 1, 1, 1, 1}, "4": {4, 2}, "6": {6}, "500": {6}, "-1": {6}} {
			var names []string
			var sizes []int
			query := []string{"limit", limit}
			for next := " "; next != "" && len(sizes) < 20; {
				page := listTags(t, inNamespace(ns, resource), query...)
				names, sizes = append(names, page.names()...), append(sizes, len(page.Items))
				next = page.Metadata.Continue
				query = []string{"limit", limit, "continue", next}
			}
			if diff := cmp.Diff(sixTags, names); diff != "" {
				t.Errorf("limit %s: listed (-want +got):\n%s", limit, diff)
			}
			if !slices.Equal(sizes, want) {
				t.Errorf("limit %s: pages of %v, want %v", limit, sizes, want)
			}
		}
	})
}

func TestTagListContinuesInThePast(t *testing.T) {
	eachView(t, func(t *testing.T, ns, resource string) {
		taggedStreams(t, ns)
		path := inNamespace(ns, resource)
		for _, limit := range []string{"1", "3"} {
			first := listTags(t, path, "limit", limit)
			later := "later" + limit
			push(t, ns, "s1", later, plainImage(digestOf(t, "later")))
			push(t, ns, "s3", later, plainImage(digestOf(t, "later")))
			rest := listTags(t, path, "continue", first.Metadata.Continue)
			if slices.Contains(rest.names(), "s1:"+later) || slices.Contains(rest.names(), "s3:"+later) {
				t.Errorf("limit %s: the second page %v is of another state than the first", limit, rest.names())
			}
			if rest.Metadata.ResourceVersion != first.Metadata.ResourceVersion || rest.Metadata.Continue != "" {
				t.Errorf("limit %s: second page %+v, first %+v", limit, rest.Metadata, first.Metadata)
			}
			for _, tag := range []string{"s1:" + later, "s3:" + later} {
				del(t, path+"/"+tag).wantCode(t, http.StatusOK)
			}
		}
	})
}

func TestTagListOfAllNamespaces(t *testing.T) {
	eachView(t, func(t *testing.T, ns, resource string) {
		taggedStreams(t, ns)
		other := env.Namespace(t, "taglist")
		makeStream(t, other, "s1")
		push(t, other, "s1", "1", plainImage(digestOf(t, "other")))
		var here, there []string
		query := []string{"limit", "2"}
		for next := " "; next != ""; {
			page := listTags(t, groupPath+"/"+resource, query...)
			for _, item := range page.Items {
				switch item.Metadata.Namespace {
				case ns:
					here = append(here, item.Metadata.Name)
				case other:
					there = append(there, item.Metadata.Name)
				}
			}
			next = page.Metadata.Continue
			query = []string{"limit", "2", "continue", next}
		}
		if !slices.Equal(here, sixTags) || !slices.Equal(there, []string{"s1:1"}) {
			t.Errorf("listed %v in the one, %v in the other namespace", here, there)
		}
		if got := listTags(t, groupPath+"/"+resource, "fieldSelector", "metadata.namespace="+other).names(); !slices.Equal(got, []string{"s1:1"}) {
			t.Errorf("listed %v by namespace", got)
		}
	})
}

func TestTagListSelectors(t *testing.T) {
	eachView(t, func(t *testing.T, ns, resource string) {
		taggedStreams(t, ns)
		annotate(t, ns, "s2")
		for selector, want := range map[string][]string{
			"fieldSelector metadata.name=s2:1":                          {"s2:1"},
			"fieldSelector metadata.name=s2":                            {},
			"fieldSelector metadata.name=s2:3":                          {},
			"fieldSelector metadata.name=nope:1":                        {},
			"fieldSelector metadata.name!=s2:1,metadata.name!=s1:2":     {"s1:1", "s2:2", "s3:1", "s3:2"},
			"fieldSelector metadata.namespace=" + ns:                    sixTags,
			"fieldSelector metadata.namespace=other":                    {},
			"fieldSelector metadata.name=s3:2,metadata.namespace=" + ns: {"s3:2"},
			"labelSelector l=m":                                         {"s2:1", "s2:2"},
			"labelSelector l!=m":                                        {"s1:1", "s1:2", "s3:1", "s3:2"},
		} {
			var name, value string
			if _, err := fmt.Sscanf(selector, "%s %s", &name, &value); err != nil {
				t.Fatal(err)
			}
			for _, limit := range []string{"0", "500"} {
				if diff := cmp.Diff(want, listTags(t, inNamespace(ns, resource), name, value, "limit", limit).names()); diff != "" {
					t.Errorf("%s, limit %s (-want +got):\n%s", selector, limit, diff)
				}
			}
		}
	})
}

func TestTagListRefuses(t *testing.T) {
	eachView(t, func(t *testing.T, ns, resource string) {
		taggedStreams(t, ns)
		token := listTags(t, inNamespace(ns, resource), "limit", "1").Metadata.Continue
		for query, code := range map[string]int{
			"fieldSelector=tag.name=x":                 http.StatusBadRequest,
			"labelSelector=a!":                         http.StatusBadRequest,
			"limit=x":                                  http.StatusBadRequest,
			"continue=x":                               http.StatusBadRequest,
			"resourceVersion=x":                        http.StatusBadRequest,
			"resourceVersion=5&continue=" + token:      http.StatusBadRequest,
			"continue=eyJydiI6IjEiLCJzdHJlYW0iOiJhIn0": http.StatusOK, // of version 1, when nothing was there
		} {
			if r := get(t, inNamespace(ns, resource)+"?"+query); r.code != code {
				t.Errorf("%s: answered %d, want %d: %s", query, r.code, code, r.body)
			}
		}
	})
}

func TestStreamTagListShowsNoMoreOfImagesThanTheirPlace(t *testing.T) {
	ns := env.Namespace(t, "taglist")
	makeStream(t, ns, "s")
	annotate(t, ns, "s")
	img := plainImage(digestOf(t, "a"))
	push(t, ns, "s", "pushed", img)
	put(t, streamTags(ns, "/s:ref"), referenceTag("s:ref", "registry.example.com/x:1", "")).wantCode(t, http.StatusCreated)
	put(t, streamTags(ns, "/s:bare"), `{"metadata":{"name":"s:bare"},"tag":{}}`).wantCode(t, http.StatusCreated)
	get(t, streamTags(ns, "")).want(t, http.StatusOK, `
		{"kind":"ImageStreamTagList","apiVersion":"image.openshift.io/v1","metadata":{"resourceVersion":"…"},
		 "items":[{
		  "metadata":{"name":"s:pushed","namespace":"`+ns+`","uid":"…","resourceVersion":"…","creationTimestamp":"…","labels":{"l":"m"}},
		  "tag":null,"generation":1,"lookupPolicy":{"local":false},
		  "image":{"metadata":{"name":"`+img.Name+`"},"dockerImageReference":"`+img.DockerImageReference+`",
		   "dockerImageMetadata":{"kind":"DockerImage","apiVersion":"image.openshift.io/1.0","Id":"","Created":null,"ContainerConfig":{}},
		   "dockerImageMetadataVersion":"1.0"}}]}`)
}

func TestTagListAsTableIsPaged(t *testing.T) {
	eachView(t, func(t *testing.T, ns, resource string) {
		taggedStreams(t, ns)
		got := getTable(t, inNamespace(ns, resource)+"?limit=5")
		if len(got.Rows) != 5 || got.Metadata.Continue == "" {
			t.Fatalf("table %+v", got)
		}
		if rest := getTable(t, inNamespace(ns, resource)+"?limit=5&continue="+got.Metadata.Continue); len(rest.Rows) != 1 || rest.Rows[0].Cells[0] != "s3:2" {
			t.Errorf("rest of the table %+v", rest)
		}
	})
}
