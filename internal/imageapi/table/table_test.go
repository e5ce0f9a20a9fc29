package table

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	imagev1 "github.com/openshift/api/image/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/registry/rest"
)

var now = time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)

func clock() Option { return withClock(func() time.Time { return now }) }

func before(d time.Duration) metav1.Time { return metav1.NewTime(now.Add(-d)) }

// golden prints a table as text: columns with type, format and priority, then rows.
func golden(t *testing.T, convertor rest.TableConvertor, obj runtime.Object) string {
	t.Helper()
	table, err := convertor.ConvertToTable(context.Background(), obj, nil)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, c := range table.ColumnDefinitions {
		if c.Description == "" {
			t.Errorf("column %s has no description", c.Name)
		}
		fmt.Fprintf(&b, "%s/%s/%s/%d\n", c.Name, c.Type, c.Format, c.Priority)
	}
	for _, row := range table.Rows {
		fmt.Fprintf(&b, "%s\n", cellText(row.Cells))
		if len(row.Cells) != len(table.ColumnDefinitions) || row.Object.Object == nil {
			t.Errorf("row %v: %d cells for %d columns, object %v", row.Cells, len(row.Cells), len(table.ColumnDefinitions), row.Object.Object)
		}
	}
	return b.String()
}

func cellText(cells []any) string {
	texts := make([]string, len(cells))
	for i, cell := range cells {
		texts[i] = fmt.Sprintf("%#v", cell)
	}
	return strings.Join(texts, " | ")
}

func TestGoldens(t *testing.T) {
	event := func(d time.Duration) []imagev1.TagEvent {
		return []imagev1.TagEvent{{Created: before(d), Image: "sha256:1", DockerImageReference: "q.io/x@sha256:1"}}
	}
	image := imagev1.Image{ObjectMeta: metav1.ObjectMeta{Name: "sha256:1"}, DockerImageReference: "q.io/x@sha256:1"}
	generation := int64(2)
	for name, test := range map[string]struct {
		convertor rest.TableConvertor
		obj       runtime.Object
		want      string
	}{
		"images": {Images(clock()), &imagev1.ImageList{Items: []imagev1.Image{image, {}}}, `
Name/string/name/0
Image Reference/string//0
"sha256:1" | "q.io/x@sha256:1"
"" | ""
`},
		"imagestreams": {ImageStreams(clock()), &imagev1.ImageStreamList{Items: []imagev1.ImageStream{
			{ObjectMeta: metav1.ObjectMeta{Name: "empty"}},
			{
				ObjectMeta: metav1.ObjectMeta{Name: "local"},
				Status: imagev1.ImageStreamStatus{DockerImageRepository: "reg:5000/p/local", Tags: []imagev1.NamedTagEventList{
					{Tag: "failed"}, {Tag: "new", Items: event(2 * time.Minute)}, {Tag: "old", Items: event(49 * time.Hour)},
				}},
			},
			{
				ObjectMeta: metav1.ObjectMeta{Name: "spec"}, Spec: imagev1.ImageStreamSpec{DockerImageRepository: "q.io/x"},
				Status: imagev1.ImageStreamStatus{DockerImageRepository: "reg:5000/p/spec"},
			},
			{
				ObjectMeta: metav1.ObjectMeta{Name: "public"}, Spec: imagev1.ImageStreamSpec{DockerImageRepository: "q.io/x"},
				Status: imagev1.ImageStreamStatus{DockerImageRepository: "reg:5000/p/public", PublicDockerImageRepository: "reg.example/p/public"},
			},
			{
				ObjectMeta: metav1.ObjectMeta{Name: "charts.x2f.web", Namespace: "p", Annotations: map[string]string{"weir.dev/repository": "charts/web"}},
				Status:     imagev1.ImageStreamStatus{DockerImageRepository: "reg:5000/p/charts.x2f.web"},
			},
			{
				ObjectMeta: metav1.ObjectMeta{Name: "wrong", Namespace: "p", Annotations: map[string]string{"weir.dev/repository": "charts/web"}},
				Status:     imagev1.ImageStreamStatus{DockerImageRepository: "reg:5000/p/wrong", PublicDockerImageRepository: "reg.example/p/wrong"},
			},
		}}, `
Name/string/name/0
Image Repository/string//0
Tags/string//0
Updated/string//0
"empty" | "" | "" | ""
"local" | "reg:5000/p/local" | "new,old,failed" | "2 minutes ago"
"spec" | "q.io/x" | "" | ""
"public" | "reg.example/p/public" | "" | ""
"charts.x2f.web" | "reg:5000/p/charts/web" | "" | ""
"wrong" | "reg.example/p/wrong" | "" | ""
`},
		"imagestreamtags": {ImageStreamTags(clock()), &imagev1.ImageStreamTag{ObjectMeta: metav1.ObjectMeta{Name: "s:t", CreationTimestamp: before(time.Hour)}, Image: image}, `
Name/string/name/0
Image Reference/string//0
Updated/string//0
Image Name/string//1
"s:t" | "q.io/x@sha256:1" | "About an hour ago" | "sha256:1"
`},
		"imagestreamimages": {ImageStreamImages(clock()), &imagev1.ImageStreamImage{ObjectMeta: metav1.ObjectMeta{Name: "s@sha256:1", CreationTimestamp: before(time.Second)}, Image: image}, `
Name/string/name/0
Updated/string//0
Image Reference/string//1
Image Name/string//1
"s@sha256:1" | "1 second ago" | "q.io/x@sha256:1" | "sha256:1"
`},
		"imagetags": {ImageTags(clock()), &imagev1.ImageTagList{Items: []imagev1.ImageTag{
			{ObjectMeta: metav1.ObjectMeta{Name: "s:none"}},
			{
				ObjectMeta: metav1.ObjectMeta{Name: "s:t"}, Spec: &imagev1.TagReference{Generation: &generation, From: &corev1.ObjectReference{Kind: "DockerImage", Name: "q.io/x"}},
				Status: &imagev1.NamedTagEventList{Items: []imagev1.TagEvent{{Created: before(time.Minute), Image: "sha256:1", Generation: 2}, {}}},
			},
		}}, `
Name/string/name/0
Spec/string//0
Status/string//0
History/number//0
Updated/string//0
"s:none" | "" | "" | <nil> | ""
"s:t" | "Tag" | "image/sha256:1" | 2 | "About a minute ago"
`},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(strings.TrimPrefix(test.want, "\n"), golden(t, test.convertor, test.obj)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestListMetadata(t *testing.T) {
	remaining := int64(7)
	list := &imagev1.ImageList{ListMeta: metav1.ListMeta{ResourceVersion: "5", Continue: "c", RemainingItemCount: &remaining}}
	table, err := Images().ConvertToTable(context.Background(), list, &metav1.TableOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(list.ListMeta, table.ListMeta); diff != "" {
		t.Error(diff)
	}
	if len(table.ColumnDefinitions) == 0 {
		t.Error("no columns")
	}
	single := &imagev1.Image{ObjectMeta: metav1.ObjectMeta{ResourceVersion: "9"}}
	table, err = Images().ConvertToTable(context.Background(), single, &metav1.TableOptions{NoHeaders: true})
	if err != nil {
		t.Fatal(err)
	}
	if table.ResourceVersion != "9" || len(table.ColumnDefinitions) != 0 || len(table.Rows) != 1 {
		t.Errorf("table %+v", table)
	}
}

func TestRowsCarryPrintableObjects(t *testing.T) {
	tag := &imagev1.ImageStreamTag{}
	table, err := ImageStreamTags().ConvertToTable(context.Background(), tag, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := table.Rows[0].Object.Object.(*imagev1.ImageStreamTag); got.Image.DockerImageMetadata.Raw == nil || tag.Image.DockerImageMetadata.Raw != nil {
		t.Error("the row needs metadata, the object given must not get it")
	}
}

func TestForeignObjectsAreErrors(t *testing.T) {
	if _, err := Images().ConvertToTable(context.Background(), &imagev1.ImageStream{}, nil); err == nil {
		t.Error("an image stream was printed as an image")
	}
}

func TestDuration(t *testing.T) {
	for _, test := range []struct {
		d    time.Duration
		want string
	}{
		{-time.Hour, "Less than a second"},
		{999 * time.Millisecond, "Less than a second"},
		{time.Second, "1 second"},
		{2 * time.Second, "2 seconds"},
		{59 * time.Second, "59 seconds"},
		{time.Minute, "About a minute"},
		{119 * time.Second, "About a minute"},
		{2 * time.Minute, "2 minutes"},
		{59 * time.Minute, "59 minutes"},
		{time.Hour, "About an hour"},
		{89 * time.Minute, "About an hour"},
		{90 * time.Minute, "2 hours"},
		{47 * time.Hour, "47 hours"},
		{48 * time.Hour, "2 days"},
		{14*day - time.Hour, "13 days"},
		{14 * day, "2 weeks"},
		{60*day - time.Hour, "8 weeks"},
		{60 * day, "2 months"},
		{2*year - time.Hour, "24 months"},
		{2 * year, "2 years"},
		{10 * year, "10 years"},
	} {
		if got := duration(test.d); got != test.want {
			t.Errorf("%v is %q, want %q", test.d, got, test.want)
		}
	}
}

func TestTagSummary(t *testing.T) {
	at := func(name string, second int) imagev1.NamedTagEventList {
		return imagev1.NamedTagEventList{Tag: name, Items: []imagev1.TagEvent{{Created: metav1.Unix(int64(1000-second), 0)}}}
	}
	tags := func(lengths ...int) []imagev1.NamedTagEventList {
		var list []imagev1.NamedTagEventList
		for i, n := range lengths {
			list = append(list, at(strings.Repeat(string(rune('a'+i)), n), i))
		}
		return list
	}
	run := func(r rune, n int) string { return strings.Repeat(string(r), n) }
	for name, test := range map[string]struct {
		tags []imagev1.NamedTagEventList
		want string
	}{
		"none":                              {nil, ""},
		"newest first, ties by name":        {[]imagev1.NamedTagEventList{at("z", 5), at("b", 3), at("a", 3), at("n", 1)}, "n,a,b,z"},
		"exact fit":                         {tags(19, 19), run('a', 19) + "," + run('b', 19)},
		"one always":                        {tags(100), run('a', 100)},
		"one always, rest counted":          {tags(100, 1, 1), run('a', 100) + " + 2 more..."},
		"sticks out: 11 left, 10 over":      {tags(28, 20), run('a', 28) + "," + run('b', 20)},
		"sticks out too far":                {tags(28, 21), run('a', 28) + " + 1 more..."},
		"too little left":                   {tags(29, 11), run('a', 29) + " + 1 more..."},
		"nothing after one that sticks out": {tags(28, 20, 1), run('a', 28) + "," + run('b', 20) + " + 1 more..."},
		"many":                              {tags(7, 7, 7, 7, 7, 7, 7), strings.Join([]string{run('a', 7), run('b', 7), run('c', 7), run('d', 7), run('e', 7)}, ",") + " + 2 more..."},
	} {
		t.Run(name, func(t *testing.T) {
			if got := tagSummary(test.tags); got != test.want {
				t.Errorf("got  %q\nwant %q", got, test.want)
			}
		})
	}
	t.Run("times are rounded to seconds", func(t *testing.T) {
		early, late := at("b", 0), at("a", 0)
		early.Items[0].Created.Time = time.Unix(100, 400e6)
		late.Items[0].Created.Time = time.Unix(100, 100e6)
		if got := tagSummary([]imagev1.NamedTagEventList{early, late}); got != "a,b" {
			t.Errorf("got %q", got)
		}
	})
}
