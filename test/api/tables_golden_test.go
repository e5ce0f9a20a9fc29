package api_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	digest "github.com/opencontainers/go-digest"
	imagev1 "github.com/openshift/api/image/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"weir.dev/weir/internal/standalone"
	"weir.dev/weir/internal/testenv"
)

// TestTablesGolden holds what kubectl get and get -o wide print, which is one Table: its
// columns of priority 1 are the wide ones. The server imports nothing, so that streams
// stay as they are made.
func TestTablesGolden(t *testing.T) {
	quiet := testenv.Start(t, func(o *standalone.Options) {
		o.Controllers = []string{"none"}
		o.InternalHostname, o.ExternalHostname = "registry.svc:5000", "registry.example.com"
	})
	const namespace = "tables"
	if _, err := quiet.Kube.CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	fillTables(t, quiet, namespace)
	for file, path := range map[string]string{
		"table-images.txt":                     "/images",
		"table-image.txt":                      "/images/" + tableDigest("a"),
		"table-imagestreams.txt":               "/namespaces/" + namespace + "/imagestreams",
		"table-imagestream.txt":                "/namespaces/" + namespace + "/imagestreams/busy",
		"table-imagestreams-all.txt":           "/imagestreams",
		"table-imagestream-status.txt":         "/namespaces/" + namespace + "/imagestreams/busy/status",
		"table-imagestreamtags.txt":            "/namespaces/" + namespace + "/imagestreamtags",
		"table-imagestreamtag.txt":             "/namespaces/" + namespace + "/imagestreamtags/busy:local",
		"table-imagestreamtags-all.txt":        "/imagestreamtags",
		"table-imagetags.txt":                  "/namespaces/" + namespace + "/imagetags",
		"table-imagetag.txt":                   "/namespaces/" + namespace + "/imagetags/busy:local",
		"table-imagestreamimage.txt":           "/namespaces/" + namespace + "/imagestreamimages/busy@" + tableDigest("a"),
		"table-imagestreamimage-by-prefix.txt": "/namespaces/" + namespace + "/imagestreamimages/busy@" + tableDigest("a")[:20],
	} {
		r := raw(t, quiet.Config, http.MethodGet, groupPath+path, "", "Accept", acceptTable)
		var table metav1.Table
		unmarshal(t, r.body, &table)
		if r.code != http.StatusOK || table.Kind != "Table" {
			t.Errorf("%s: %d %s", path, r.code, r.body)
			continue
		}
		wantGolden(t, file, []byte(printTable(t, &table)))
	}
}

// TestKindsWithoutTable: what kubectl prints for them comes from plain JSON.
func TestKindsWithoutTable(t *testing.T) {
	ns := env.Namespace(t, "tables")
	makeStream(t, ns, "s")
	isi := `{"spec":{"images":[{"from":{"kind":"DockerImage","name":"127.0.0.1:1/x:1"}}]},"metadata":{"name":"s"}}`
	for _, c := range []struct{ method, path, body string }{
		{http.MethodGet, inNamespace(ns, "imagestreams/s/layers"), ""},
		{http.MethodGet, inNamespace(ns, "imagestreams/s/secrets"), ""},
		{http.MethodPost, inNamespace(ns, "imagestreamimports"), isi},
	} {
		raw(t, env.Config, c.method, c.path, c.body, "Accept", acceptTable).wantStatus(t, http.StatusNotAcceptable, metav1.StatusReasonNotAcceptable, "", "")
		if r := raw(t, env.Config, c.method, c.path, c.body, "Accept", acceptTable+",application/json"); r.code > http.StatusCreated || strings.Contains(string(r.body), `"Table"`) {
			t.Errorf("%s %s with a choice: %d %s", c.method, c.path, r.code, r.body)
		}
	}
}

// ageless matches the age of what the test itself has just made.
var ageless = regexp.MustCompile(`"(Less than a second|1 second|\d+ seconds|About a minute) ago"`)

// printTable writes a table as lines: the columns, then each row's cells.
func printTable(t *testing.T, table *metav1.Table) string {
	t.Helper()
	var out strings.Builder
	for _, column := range table.ColumnDefinitions {
		fmt.Fprintf(&out, "column %q type=%s format=%q priority=%d\n", column.Name, column.Type, column.Format, column.Priority)
	}
	for _, row := range table.Rows {
		cells, err := json.Marshal(row.Cells)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&out, "row %s\n", ageless.ReplaceAll(cells, []byte(`"… ago"`)))
	}
	return out.String()
}

func tableDigest(what string) string { return digest.FromString("table " + what).String() }

// fillTables makes streams with tags of every kind, of every age.
func fillTables(t *testing.T, quiet *testenv.Env, namespace string) {
	t.Helper()
	for _, name := range []string{"a", "b", "c"} {
		img := plainImage(tableDigest(name))
		if _, err := quiet.Images.ImageV1().Images().Create(t.Context(), img, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	docker := func(name string) *corev1.ObjectReference {
		return &corev1.ObjectReference{Kind: "DockerImage", Name: name}
	}
	following := func(name string) *corev1.ObjectReference {
		return &corev1.ObjectReference{Kind: "ImageStreamTag", Name: name}
	}
	fill(t, quiet, namespace, &imagev1.ImageStream{
		ObjectMeta: metav1.ObjectMeta{Name: "busy"},
		Spec: imagev1.ImageStreamSpec{Tags: []imagev1.TagReference{
			{Name: "failed", From: docker("registry.example.com/failed:1")},
			{Name: "follows", From: following("pushed")},
			{Name: "importing", From: docker("registry.example.com/importing:1")},
			{Name: "local", From: docker("registry.example.com/app:1"), ReferencePolicy: imagev1.TagReferencePolicy{Type: imagev1.LocalTagReferencePolicy}},
			{Name: "reference", From: docker("registry.example.com/reference:1"), Reference: true},
			{Name: "scheduled", From: docker("registry.example.com/app:2"), ImportPolicy: imagev1.TagImportPolicy{Scheduled: true}},
			{Name: "tracks", From: following("busy:pushed")},
			{Name: "without-source"},
		}},
	}, map[string][]imagev1.TagEvent{
		"local":     {event("a", 3*time.Hour, 1), event("b", 80*time.Hour, 1)},
		"scheduled": {event("b", 30*time.Minute, 1)},
		"pushed":    {event("c", 15*24*time.Hour, 1), event("a", 70*24*time.Hour, 1), event("b", 900*24*time.Hour, 1)},
		"follows":   {event("c", 15*24*time.Hour, 1)},
		"orphan":    {event("a", 62*24*time.Hour, 1)},
	}, map[string]string{"failed": "NotFound"})
	many := map[string][]imagev1.TagEvent{}
	for i := range 12 {
		many[fmt.Sprintf("v1.%d", i)] = []imagev1.TagEvent{event("a", time.Duration(26+i)*time.Hour, 1)}
	}
	fill(t, quiet, namespace, &imagev1.ImageStream{ObjectMeta: metav1.ObjectMeta{Name: "many"}}, many, nil)
	fill(t, quiet, namespace, &imagev1.ImageStream{ObjectMeta: metav1.ObjectMeta{Name: "empty"}}, nil, nil)
	fill(t, quiet, namespace, &imagev1.ImageStream{
		ObjectMeta: metav1.ObjectMeta{Name: "repository"}, Spec: imagev1.ImageStreamSpec{DockerImageRepository: "quay.example.com/team/app"},
	}, nil, nil)
}

// event is a tag's, that long ago. Half a minute more keeps its age in words the same
// while the test runs.
func event(image string, ago time.Duration, generation int64) imagev1.TagEvent {
	name := tableDigest(image)
	return imagev1.TagEvent{Created: metav1.NewTime(time.Now().Add(-ago - 30*time.Second)), DockerImageReference: "registry.example.com/app@" + name, Image: name, Generation: generation}
}

// fill makes a stream, its history and the reasons for which tags failed.
func fill(t *testing.T, quiet *testenv.Env, namespace string, s *imagev1.ImageStream, history map[string][]imagev1.TagEvent, failed map[string]string) {
	t.Helper()
	streams := quiet.Images.ImageV1().ImageStreams(namespace)
	made, err := streams.Create(context.Background(), s, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for tag, events := range history {
		made.Status.Tags = append(made.Status.Tags, imagev1.NamedTagEventList{Tag: tag, Items: events})
	}
	for tag, reason := range failed {
		made.Status.Tags = append(made.Status.Tags, imagev1.NamedTagEventList{Tag: tag, Conditions: []imagev1.TagEventCondition{{
			Type: imagev1.ImportSuccess, Status: corev1.ConditionFalse, Reason: reason, Message: "it failed", Generation: 1,
			LastTransitionTime: metav1.NewTime(time.Now().Add(-5*time.Minute - 30*time.Second)),
		}}})
	}
	if _, err := streams.UpdateStatus(context.Background(), made, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
}
