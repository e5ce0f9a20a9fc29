package ociregistry

import (
	"net/url"
	"strings"
	"testing"
)

func TestLocate(t *testing.T) {
	for path, want := range map[string]location{
		"":                                     {resource: rootResource},
		"/":                                    {resource: rootResource},
		"/healthz":                             {resource: healthResource},
		"/v2":                                  {resource: versionResource},
		"/v2/":                                 {resource: versionResource},
		"/v2/_catalog":                         {resource: catalogResource},
		"/openshift/token":                     {resource: tokenResource},
		"/v2/ns/app/tags/list":                 {resource: tagsResource, name: "ns/app"},
		"/v2/ns/a/b/c/tags/list":               {resource: tagsResource, name: "ns/a/b/c"},
		"/v2/ns/tags/tags/list":                {resource: tagsResource, name: "ns/tags"},
		"/v2/ns/app/manifests/v1":              {resource: manifestResource, name: "ns/app", reference: "v1"},
		"/v2/ns/app/manifests/list":            {resource: manifestResource, name: "ns/app", reference: "list"},
		"/v2/ns/manifests/manifests/v1":        {resource: manifestResource, name: "ns/manifests", reference: "v1"},
		"/v2/ns/blobs/uploads/manifests/v1":    {resource: manifestResource, name: "ns/blobs/uploads", reference: "v1"},
		"/v2/ns/app/manifests/sha256:0a":       {resource: manifestResource, name: "ns/app", reference: "sha256:0a"},
		"/v2/ns/app/blobs/sha256:0a":           {resource: blobResource, name: "ns/app", reference: "sha256:0a"},
		"/v2/ns/app/blobs/uploads/":            {resource: uploadsResource, name: "ns/app"},
		"/v2/ns/app/blobs/uploads":             {resource: uploadsResource, name: "ns/app"},
		"/v2/ns/app/blobs/uploads/0a-1b":       {resource: uploadResource, name: "ns/app", reference: "0a-1b"},
		"/v2/ns/manifests/blobs/uploads/x":     {resource: uploadResource, name: "ns/manifests", reference: "x"},
		"/v2/ns/app/referrers/sha256:0a":       {resource: referrersResource, name: "ns/app", reference: "sha256:0a"},
		"/extensions/v2/ns/app/signatures/s:0": {resource: signaturesResource, name: "ns/app", reference: "s:0"},
		"/extensions/v2/metrics":               {resource: metricsResource},
		"/admin/blobs/sha256:0a":               {resource: storedBlobResource, reference: "sha256:0a"},
		// Names that are none are found to be none later, by the one who parses them.
		"/v2/../etc/manifests/v1":    {resource: manifestResource, name: "../etc", reference: "v1"},
		"/v2//app/manifests/v1":      {resource: manifestResource, name: "/app", reference: "v1"},
		"/v2/ns//app/manifests/v1":   {resource: manifestResource, name: "ns//app", reference: "v1"},
		"/v2/NS/app/manifests/v1":    {resource: manifestResource, name: "NS/app", reference: "v1"},
		"/v2/app/manifests/v1":       {resource: manifestResource, name: "app", reference: "v1"},
		"/v2/ns/app/manifests/":      {},
		"/v2/ns/app/manifests":       {},
		"/v2/manifests/v1":           {},
		"/v2/blobs/uploads/":         {},
		"/v2/blobs/uploads/1":        {},
		"/v2/tags/list":              {},
		"/v2/ns/app/tags/list/":      {},
		"/v2/ns/app/tags/other":      {},
		"/v2/ns/app/uploads/1":       {},
		"/v2/ns/app":                 {},
		"/v2/ns/app/":                {},
		"/v1/":                       {},
		"/v2x":                       {},
		"/admin/blobs/":              {resource: storedBlobResource},
		"/admin/blobs/a/b":           {},
		"/extensions/v2/":            {},
		"/extensions/v2/ns/app":      {},
		"/extensions/v2/signatures/": {},
		"/openshift/token/":          {},
	} {
		if got := locate(path); got != want {
			t.Errorf("locate(%q) is %+v, not %+v", path, got, want)
		}
	}
}

func TestPathOf(t *testing.T) {
	for text, want := range map[string]string{
		"/v2/ns/app/manifests/v1":           "/v2/ns/app/manifests/v1",
		"/v2/ns/app/blobs/sha256%3Aabc":     "/v2/ns/app/blobs/sha256:abc",
		"/v2/ns%2Fapp/manifests/v1":         "",
		"/v2/ns%2fapp/manifests/v1":         "",
		"/v2/ns/app/manifests/..%2F..%2Fv1": "",
	} {
		u, err := url.ParseRequestURI(text)
		if err != nil {
			t.Fatal(err)
		}
		if got, ok := pathOf(u); got != want || ok != (want != "") {
			t.Errorf("pathOf(%q) is %q, %v", text, got, ok)
		}
	}
}

// FuzzLocate holds that whatever a path leads to is made of the path's own parts, in
// order, and that names and references of repositories are never empty.
func FuzzLocate(f *testing.F) {
	for _, seed := range []string{
		"/v2/", "/v2/a/b/manifests/c", "/v2/a/b/blobs/uploads/", "/v2/a/b/blobs/uploads/x", "/v2/a/../b/tags/list",
		"/extensions/v2/a/b/signatures/c", "/admin/blobs/c", "/v2/a/b/referrers/sha256:0", "/v2//blobs//", "/v2/%2e/manifests/x",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, path string) {
		l := locate(path)
		if l.resource >= resources || resourceNames[l.resource] == "" {
			t.Fatalf("locate(%q) is the resource %d", path, l.resource)
		}
		if strings.Contains(l.reference, "/") {
			t.Fatalf("locate(%q) has the reference %q", path, l.reference)
		}
		whole := ""
		switch l.resource {
		case manifestResource:
			whole = "/v2/" + l.name + "/manifests/" + l.reference
		case blobResource:
			whole = "/v2/" + l.name + "/blobs/" + l.reference
		case referrersResource:
			whole = "/v2/" + l.name + "/referrers/" + l.reference
		case uploadResource:
			whole = "/v2/" + l.name + "/blobs/uploads/" + l.reference
		case uploadsResource:
			whole = "/v2/" + l.name + "/blobs/uploads"
			path = strings.TrimSuffix(path, "/")
		case tagsResource:
			whole = "/v2/" + l.name + "/tags/list"
		case signaturesResource:
			whole = "/extensions/v2/" + l.name + "/signatures/" + l.reference
		default:
			return
		}
		if whole != path || l.name == "" {
			t.Fatalf("locate(%q) is %+v, which is %q", path, l, whole)
		}
	})
}

func BenchmarkLocate(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		locate("/v2/namespace/some/repository/manifests/latest")
	}
}

func TestLocateAllocatesNothing(t *testing.T) {
	if n := testing.AllocsPerRun(100, func() { locate("/v2/namespace/repository/manifests/latest") }); n != 0 {
		t.Errorf("locate allocates %v times", n)
	}
}
