package validation

import (
	"strings"
	"testing"

	imagev1 "github.com/openshift/api/image/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

var source = imagev1.TagReferencePolicy{Type: "Source"}

func from(kind, name string) *corev1.ObjectReference {
	return &corev1.ObjectReference{Kind: kind, Name: name}
}

func streamWith(tags ...imagev1.TagReference) *imagev1.ImageStream {
	return &imagev1.ImageStream{ObjectMeta: metav1.ObjectMeta{Name: "s", Namespace: "p", ResourceVersion: "1"}, Spec: imagev1.ImageStreamSpec{Tags: tags}}
}

func TestImageStreamName(t *testing.T) {
	for name, valid := range map[string]bool{
		"a": true, "0": true, "a-b": true, "a.b": true, "a_b": true, "a-b.c_d0": true,
		"": false, "A": false, "a--b": false, "a__b": false, "a..b": false, "a-": false, "-a": false, "a:b": false,
		"a/b": false, "a%b": false, ".": false, "..": false, "a b": false, "a\n": false,
	} {
		if reasons := imageStreamName(name, false); (len(reasons) == 0) != valid {
			t.Errorf("%q: reasons %v, valid should be %v", name, reasons, valid)
		}
	}
	if len(imageStreamName("a-", true)) == 0 {
		t.Error("a prefix ending in - was accepted")
	}
}

func TestImageStreamNameLength(t *testing.T) {
	s := streamWith()
	s.Name = strings.Repeat("a", 253)
	expect(t, ImageStream(s, anyRegistry))
	s.Name += "a"
	expect(t, ImageStream(s, anyRegistry), "Invalid metadata.name")
}

func TestSpecTags(t *testing.T) {
	scheduled := imagev1.TagImportPolicy{Scheduled: true}
	for name, test := range map[string]struct {
		tag  imagev1.TagReference
		want []string
	}{
		"no from":              {imagev1.TagReference{Name: "t", ReferencePolicy: source}, nil},
		"docker image":         {imagev1.TagReference{Name: "t", ReferencePolicy: source, From: from("DockerImage", "q.io/x/y:1"), ImportPolicy: scheduled}, nil},
		"local":                {imagev1.TagReference{Name: "t", ReferencePolicy: imagev1.TagReferencePolicy{Type: "Local"}, From: from("DockerImage", "x")}, nil},
		"modes":                {imagev1.TagReference{Name: "t", ReferencePolicy: source, ImportPolicy: imagev1.TagImportPolicy{ImportMode: "PreserveOriginal"}}, nil},
		"empty name":           {imagev1.TagReference{Name: "t", ReferencePolicy: source, From: from("DockerImage", "")}, []string{"Required spec.tags[t].from.name"}},
		"unparsable":           {imagev1.TagReference{Name: "t", ReferencePolicy: source, From: from("DockerImage", "UP")}, []string{"Invalid spec.tags[t].from.name"}},
		"not allowed":          {imagev1.TagReference{Name: "t", ReferencePolicy: source, From: from("DockerImage", "no.io/x")}, []string{"Forbidden spec.tags[t].from.name"}},
		"stream tag":           {imagev1.TagReference{Name: "t", ReferencePolicy: source, From: from("ImageStreamTag", "a:b")}, nil},
		"stream tag scheduled": {imagev1.TagReference{Name: "t", ReferencePolicy: source, From: from("ImageStreamTag", "a:b"), ImportPolicy: scheduled}, []string{"Invalid spec.tags[t].importPolicy.scheduled"}},
		"image scheduled":      {imagev1.TagReference{Name: "t", ReferencePolicy: source, From: from("ImageStreamImage", "a@b"), ImportPolicy: scheduled}, []string{"Invalid spec.tags[t].importPolicy.scheduled"}},
		"no kind":              {imagev1.TagReference{Name: "t", ReferencePolicy: source, From: from("", "a")}, []string{"Required spec.tags[t].from.kind"}},
		"other kind":           {imagev1.TagReference{Name: "t", ReferencePolicy: source, From: from("Pod", "")}, []string{"Required spec.tags[t].from.name", "Required spec.tags[t].from.kind"}},
		"reference policy":     {imagev1.TagReference{Name: "t", ReferencePolicy: imagev1.TagReferencePolicy{Type: "Odd"}}, []string{"Invalid spec.tags[t].referencePolicy.type"}},
		"import mode":          {imagev1.TagReference{Name: "t", ReferencePolicy: source, ImportPolicy: imagev1.TagImportPolicy{ImportMode: "Odd"}}, []string{"Invalid spec.tags[t].importPolicy.importMode"}},
		"tag grammar":          {imagev1.TagReference{Name: "a/b", ReferencePolicy: source}, []string{"Invalid spec.tags[a/b].name"}},
		"empty tag":            {imagev1.TagReference{ReferencePolicy: source}, []string{"Invalid spec.tags[].name"}},
		"long tag":             {imagev1.TagReference{Name: strings.Repeat("a", 129), ReferencePolicy: source}, []string{"Invalid spec.tags[" + strings.Repeat("a", 129) + "].name"}},
		"tag with colon":       {imagev1.TagReference{Name: "a:b", ReferencePolicy: source}, []string{"Invalid spec.tags[a:b].name"}},
	} {
		t.Run(name, func(t *testing.T) {
			expect(t, ImageStream(streamWith(test.tag), allowOnly(t, "q.io", "docker.io")), test.want...)
		})
	}
}

func TestStreamRepository(t *testing.T) {
	for repository, want := range map[string][]string{
		"":                         nil,
		"q.io/x/y":                 nil,
		"q.io/x/y:1":               {"Invalid spec.dockerImageRepository"},
		"q.io/x/y@sha256:" + hex64: {"Invalid spec.dockerImageRepository"},
		"q.io/UP":                  {"Invalid spec.dockerImageRepository"},
		"no.io/x/y":                {"Forbidden spec.dockerImageRepository"},
	} {
		s := streamWith()
		s.Spec.DockerImageRepository = repository
		expect(t, ImageStream(s, allowOnly(t, "q.io")), want...)
	}
}

func TestStatusReferences(t *testing.T) {
	s := streamWith()
	s.Status.Tags = []imagev1.NamedTagEventList{{Tag: "t", Items: []imagev1.TagEvent{
		{DockerImageReference: "q.io/x@sha256:" + hex64}, {DockerImageReference: ""}, {DockerImageReference: "UP"}, {DockerImageReference: "no.io/x"},
	}}}
	want := []string{
		"Invalid status.tags[t].items[1].dockerImageReference",
		"Invalid status.tags[t].items[2].dockerImageReference",
		"Forbidden status.tags[t].items[3].dockerImageReference",
	}
	expect(t, ImageStream(s, allowOnly(t, "q.io")), want...)
	expect(t, ImageStreamUpdate(s, streamWith(), allowOnly(t, "q.io")), want...)
	expect(t, ImageStreamStatusUpdate(s, streamWith(), allowOnly(t, "q.io")), want...)
	// The status endpoint looks at new references only.
	expect(t, ImageStreamStatusUpdate(s, s.DeepCopy(), allowOnly(t, "q.io")))
}

func TestInsecureTransport(t *testing.T) {
	plain, err := NewAllowedRegistries([]AllowedRegistry{{DomainName: "q.io", Insecure: true}}, "")
	if err != nil {
		t.Fatal(err)
	}
	tag := imagev1.TagReference{Name: "t", ReferencePolicy: source, From: from("DockerImage", "q.io/x")}
	expect(t, ImageStream(streamWith(tag), plain), "Forbidden spec.tags[t].from.name")

	insecure := tag
	insecure.ImportPolicy.Insecure = true
	s := streamWith(insecure)
	s.Status.Tags = []imagev1.NamedTagEventList{{Tag: "t", Items: []imagev1.TagEvent{{DockerImageReference: "q.io/x"}}}}
	expect(t, ImageStream(s, plain))

	s = streamWith(tag)
	s.Annotations = map[string]string{"openshift.io/image.insecureRepository": "true"}
	s.Spec.DockerImageRepository = "q.io/x"
	expect(t, ImageStream(s, plain))
}

func TestUpdateLeavesTheOldAlone(t *testing.T) {
	old := streamWith(
		imagev1.TagReference{Name: "a/b", ReferencePolicy: source, From: from("DockerImage", "no.io/x/y:1")},
	)
	old.Spec.DockerImageRepository = "never.io/r"
	old.Status.Tags = []imagev1.NamedTagEventList{{Tag: "t", Items: []imagev1.TagEvent{{DockerImageReference: "history.io/h@sha256:" + hex64}}}}

	same := old.DeepCopy()
	same.Spec.Tags = append(same.Spec.Tags,
		imagev1.TagReference{Name: "same-repository", ReferencePolicy: source, From: from("DockerImage", "no.io/x/y:2")},
		imagev1.TagReference{Name: "from-history", ReferencePolicy: source, From: from("DockerImage", "history.io/h:7")})
	expect(t, ImageStreamUpdate(same, old, allowOnly(t, "q.io")))

	other := old.DeepCopy()
	other.Spec.Tags = append(other.Spec.Tags,
		imagev1.TagReference{Name: "other", ReferencePolicy: source, From: from("DockerImage", "no.io/x/z:1")},
		imagev1.TagReference{Name: "c/d", ReferencePolicy: source})
	expect(t, ImageStreamUpdate(other, old, allowOnly(t, "q.io")),
		"Forbidden spec.tags[other].from.name", "Invalid spec.tags[c/d].name")
}

func TestUpdateNeedsAResourceVersion(t *testing.T) {
	updated := streamWith()
	updated.ResourceVersion = ""
	expect(t, ImageStreamUpdate(updated, streamWith(), anyRegistry), "Invalid metadata.resourceVersion")
	expect(t, ImageStreamStatusUpdate(updated, streamWith(), anyRegistry), "Invalid metadata.resourceVersion")
}

func tagView(name string, tag *imagev1.TagReference) *imagev1.ImageStreamTag {
	return &imagev1.ImageStreamTag{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "p"}, Tag: tag}
}

func TestImageStreamTag(t *testing.T) {
	for name, test := range map[string]struct {
		tag  *imagev1.ImageStreamTag
		want []string
	}{
		"no tag":      {tagView("s:t", nil), nil},
		"valid":       {tagView("s:t", &imagev1.TagReference{Name: "t", ReferencePolicy: source, From: from("DockerImage", "q.io/x")}), nil},
		"no colon":    {tagView("s", nil), []string{"Invalid metadata.name"}},
		"two colons":  {tagView("s:t:u", nil), nil},
		"slash":       {tagView("s:t/u", nil), []string{"Invalid metadata.name"}},
		"bad source":  {tagView("s:t", &imagev1.TagReference{Name: "t", ReferencePolicy: source, From: from("Pod", "x")}), []string{"Required tag.from.kind"}},
		"not allowed": {tagView("s:t", &imagev1.TagReference{Name: "t", ReferencePolicy: source, From: from("DockerImage", "no.io/x")}), []string{"Forbidden tag.from.name"}},
		"annotations": {tagView("s:t", &imagev1.TagReference{Name: "t", ReferencePolicy: source, Annotations: map[string]string{"a": "b"}}), []string{"Invalid tag.annotations"}},
	} {
		t.Run(name, func(t *testing.T) {
			expect(t, ImageStreamTag(test.tag, allowOnly(t, "q.io")), test.want...)
		})
	}
	equal := tagView("s:t", &imagev1.TagReference{Name: "t", ReferencePolicy: source, Annotations: map[string]string{"a": "b"}})
	equal.Annotations = map[string]string{"a": "b"}
	expect(t, ImageStreamTag(equal, anyRegistry))
}

func TestImageStreamTagUpdate(t *testing.T) {
	old := tagView("s:t", &imagev1.TagReference{Name: "t", ReferencePolicy: source, From: from("DockerImage", "no.io/x:1")})
	old.UID, old.ResourceVersion, old.CreationTimestamp = "u", "7", metav1.Unix(1, 0)
	old.Labels = map[string]string{"a": "b"}
	for name, test := range map[string]struct {
		change func(*imagev1.ImageStreamTag)
		want   []string
	}{
		"same": {func(*imagev1.ImageStreamTag) {}, nil},
		"left out": {func(u *imagev1.ImageStreamTag) {
			u.UID, u.ResourceVersion, u.CreationTimestamp = "", "", metav1.Time{}
		}, nil},
		"free": {func(u *imagev1.ImageStreamTag) {
			u.Annotations = map[string]string{"x": "y"}
			u.Generation = 5
			u.LookupPolicy.Local = true
			u.Image.Name = "ignored"
			u.Conditions = []imagev1.TagEventCondition{{}}
			u.ManagedFields = []metav1.ManagedFieldsEntry{{Manager: "m", Operation: "Update"}}
			u.Tag.From.Name = "no.io/x:2"
		}, nil},
		"no tag":         {func(u *imagev1.ImageStreamTag) { u.Tag = nil }, nil},
		"extra label":    {func(u *imagev1.ImageStreamTag) { u.Labels = map[string]string{"a": "b", "c": "d"} }, []string{"Invalid metadata"}},
		"finalizer":      {func(u *imagev1.ImageStreamTag) { u.Finalizers = []string{"x.io/y"} }, []string{"Invalid metadata"}},
		"other uid":      {func(u *imagev1.ImageStreamTag) { u.UID = "v" }, []string{"Invalid metadata.uid", "Invalid metadata"}},
		"other registry": {func(u *imagev1.ImageStreamTag) { u.Tag.From.Name = "other.io/x" }, []string{"Forbidden tag.from.name"}},
		"tag rules":      {func(u *imagev1.ImageStreamTag) { u.Tag.ReferencePolicy.Type = "" }, []string{"Invalid tag.referencePolicy.type"}},
	} {
		t.Run(name, func(t *testing.T) {
			updated := old.DeepCopy()
			test.change(updated)
			expect(t, ImageStreamTagUpdate(updated, old, allowOnly(t, "q.io")), test.want...)
		})
	}
	// The stream is going to be created: nothing has a resourceVersion.
	fresh := tagView("s:t", nil)
	fresh.UID = "made-up"
	expect(t, ImageStreamTagUpdate(tagView("s:t", nil), fresh, anyRegistry))
}

func TestImageTag(t *testing.T) {
	view := func(name string, spec *imagev1.TagReference) *imagev1.ImageTag {
		return &imagev1.ImageTag{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "p"}, Spec: spec}
	}
	tag := func(name string) *imagev1.TagReference {
		return &imagev1.TagReference{Name: name, ReferencePolicy: source}
	}
	expect(t, ImageTag(view("s:t", tag("t")), anyRegistry))
	expect(t, ImageTag(view("s:t", nil), anyRegistry), "Required spec")
	expect(t, ImageTag(view("s:t", tag("u")), anyRegistry), "Invalid spec.name")
	errs := ImageTag(view("s", tag("latest")), anyRegistry)
	expect(t, errs, "Invalid spec.name")
	if errs[0].BadValue != "latest" {
		t.Errorf("value %v, want latest", errs[0].BadValue)
	}
	bad := tag("t")
	bad.From = from("DockerImage", "no.io/x")
	expect(t, ImageTag(view("s:t", bad), allowOnly(t, "q.io")), "Forbidden spec.from.name")

	old := view("s:t", bad)
	old.UID, old.ResourceVersion = "u", "7"
	old.Status = &imagev1.NamedTagEventList{Tag: "t", Items: []imagev1.TagEvent{{Image: "i"}}}
	for name, test := range map[string]struct {
		change func(*imagev1.ImageTag)
		want   []string
	}{
		"same":     {func(*imagev1.ImageTag) {}, nil},
		"left out": {func(u *imagev1.ImageTag) { u.UID, u.ResourceVersion = "", "" }, nil},
		"counted by the server": {func(u *imagev1.ImageTag) {
			u.Generation = 99
			u.ManagedFields = []metav1.ManagedFieldsEntry{{}}
		}, nil},
		"labels":      {func(u *imagev1.ImageTag) { u.Labels = map[string]string{"a": "b"} }, []string{"Invalid metadata"}},
		"no spec":     {func(u *imagev1.ImageTag) { u.Spec = nil }, nil},
		"other uid":   {func(u *imagev1.ImageTag) { u.UID = "v" }, []string{"Invalid metadata"}},
		"stale":       {func(u *imagev1.ImageTag) { u.ResourceVersion = "6" }, []string{"Invalid metadata"}},
		"status":      {func(u *imagev1.ImageTag) { u.Status.Items[0].Image = "j" }, []string{"Invalid status"}},
		"no status":   {func(u *imagev1.ImageTag) { u.Status = nil }, []string{"Invalid status"}},
		"name unsent": {func(u *imagev1.ImageTag) { u.Spec.Name = "" }, []string{"Invalid spec.name"}},
	} {
		t.Run(name, func(t *testing.T) {
			updated := old.DeepCopy()
			test.change(updated)
			expect(t, ImageTagUpdate(updated, old, allowOnly(t, "q.io")), test.want...)
		})
	}
}
