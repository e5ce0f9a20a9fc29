package contract_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	imagev1 "github.com/openshift/api/image/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"weir.dev/weir/internal/testenv"
	"weir.dev/weir/internal/testenv/testimage"
)

func TestToDefaultsToTheTag(t *testing.T) {
	t.Parallel()
	ns, upstream := env.Namespace(t, "effects"), testenv.NewRegistry(t)
	name := upstream.Push(t, "x:1", testimage.Image(t, "linux/amd64"))
	latest := upstream.Push(t, "x:latest", testimage.Image(t, "linux/amd64"))
	answer := post(t, ns, importing("s", image(upstream.Ref("x:1"), ""), image(upstream.Ref("x"), ""), image(upstream.Ref("x@"+name), "")))
	for i, want := range []string{name, latest, name} {
		wantSuccess(t, answer.Status.Images[i], want)
	}
	if to := answer.Spec.Images[0].To; to == nil || to.Name != "1" || answer.Spec.Images[1].To != nil || answer.Spec.Images[2].To != nil {
		t.Errorf("targets: %s", asJSON(t, answer.Spec.Images))
	}
	if got := answer.Status.Images[1].Tag; got != "latest" {
		t.Errorf("upstream tag %q of a name without one", got)
	}
	s := getStream(t, ns, "s")
	if len(s.Spec.Tags) != 1 || s.Spec.Tags[0].Name != "1" || len(s.Status.Tags) != 1 {
		t.Errorf("tags of the stream: %s", asJSON(t, s.Spec.Tags))
	}
}

func TestImportOfNothingMakesTheStream(t *testing.T) {
	t.Parallel()
	ns, upstream := env.Namespace(t, "effects"), testenv.NewRegistry(t)
	upstream.Push(t, "x:latest", testimage.Image(t, "linux/amd64"))
	s := post(t, ns, importing("s", image(upstream.Ref("x"), ""))).Status.Import
	if s == nil || len(s.Spec.Tags) > 0 || s.Annotations[imagev1.DockerImageRepositoryCheckAnnotation] == "" || s.Generation != 1 {
		t.Errorf("stream %s", asJSON(t, s))
	}
}

func TestResourceVersionIsAPrecondition(t *testing.T) {
	t.Parallel()
	ns, upstream := env.Namespace(t, "effects"), testenv.NewRegistry(t)
	upstream.Push(t, "x:1", testimage.Image(t, "linux/amd64"))
	for _, write := range []bool{true, false} {
		name := fmt.Sprint("s-", write)
		isi := importing(name, image(upstream.Ref("x:1"), "a"))
		isi.Spec.Import, isi.ResourceVersion = write, "1"
		wantStatus(t, refused(t, env.Config, ns, isi), 404, metav1.StatusReasonNotFound, "imagestreamimports", name)
		if _, err := env.Images.ImageV1().ImageStreams(ns).Create(t.Context(), &imagev1.ImageStream{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
		wantStatus(t, refused(t, env.Config, ns, isi), 409, metav1.StatusReasonConflict, "imagestream", name)
		isi.ResourceVersion, isi.UID = getStream(t, ns, name).ResourceVersion, "of-another"
		wantSuccess(t, post(t, ns, isi).Status.Images[0], testenvName(t, upstream))
	}
}

// testenvName is what x:1 of a registry is named by.
func testenvName(t *testing.T, upstream *testenv.Registry) string {
	t.Helper()
	return post(t, env.Namespace(t, "name"), looking(image(upstream.Ref("x:1"), ""))).Status.Images[0].Image.Name
}

func TestDryRunWritesNothing(t *testing.T) { // O3
	t.Parallel()
	ns, upstream := env.Namespace(t, "effects"), testenv.NewRegistry(t)
	name := upstream.Push(t, "x:1", testimage.Image(t, "linux/amd64"))
	list, parts := testimage.List(t, "linux/amd64", "linux/arm64")
	listName := upstream.Push(t, "x:list", list)
	isi := importing("s", image(upstream.Ref("x:1"), "a"), image(upstream.Ref("x:list"), "l", preserve))
	dry := func() *imagev1.ImageStreamImport {
		answer, err := env.Images.ImageV1().ImageStreamImports(ns).Create(t.Context(), isi, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
		if err != nil {
			t.Fatal(err)
		}
		wantSuccess(t, answer.Status.Images[0], name)
		if answer.Status.Import == nil || !slices.Equal(history(answer.Status.Import, "a")[:1], []string{fmt.Sprintf("%s %d", name, answer.Status.Import.Generation)}) {
			t.Errorf("a dry run shows %s", asJSON(t, answer.Status.Import))
		}
		return answer
	}
	dry()
	wantNoStream(t, ns, "s")
	for _, image := range append(parts, name, listName) {
		if _, err := env.Images.ImageV1().Images().Get(t.Context(), image, metav1.GetOptions{}); !apierrors.IsNotFound(err) {
			t.Errorf("a dry run stored Image %s: %v", image, err)
		}
	}
	post(t, ns, isi)
	before := getStream(t, ns, "s")
	name = upstream.Push(t, "x:1", testimage.Image(t, "linux/amd64"))
	dry()
	if after := getStream(t, ns, "s"); after.ResourceVersion != before.ResourceVersion {
		t.Error("a dry run wrote the stream")
	}
	_, err := env.Images.ImageV1().ImageStreamImports(ns).Create(t.Context(), isi, metav1.CreateOptions{DryRun: []string{"Some"}})
	var status apierrors.APIStatus
	if !errors.As(err, &status) || status.Status().Code != 422 || status.Status().Details.Causes[0].Field != "dryRun" {
		t.Errorf("another dryRun: %v", err)
	}
}

func TestFailedImport(t *testing.T) {
	t.Parallel()
	ns, upstream := env.Namespace(t, "effects"), testenv.NewRegistry(t)
	name := upstream.Push(t, "x:1", testimage.Image(t, "linux/amd64"))
	post(t, ns, importing("s", image(upstream.Ref("x:1"), "a")))
	failing := importing("s", image(upstream.Ref("x:gone"), "a"), image(upstream.Ref("x:gone"), "new"))
	s := post(t, ns, failing).Status.Import
	for _, tag := range []string{"a", "new"} {
		c := importFailure(s, tag)
		if c == nil || c.Status != corev1.ConditionFalse || c.Reason != "NotFound" || c.Generation != 2 || s.Generation != 2 || *specTag(s, tag).Generation != 2 ||
			c.Message != fmt.Sprintf("dockerimage.image.openshift.io %q not found", upstream.Ref("x:gone")) {
			t.Errorf("tag %s at generation %d, condition %+v", tag, s.Generation, c)
		}
	}
	if !slices.Equal(history(s, "a"), []string{name + " 1"}) || specTag(s, "a").From.Name != upstream.Ref("x:1") || specTag(s, "new").From.Name != upstream.Ref("x:gone") {
		t.Errorf("history %q, spec %s", history(s, "a"), asJSON(t, s.Spec.Tags))
	}
	again := post(t, ns, failing).Status.Import
	if again.Generation != s.Generation {
		t.Errorf("the same failure took the stream from generation %d to %d", s.Generation, again.Generation)
	}
	well := post(t, ns, importing("s", image(upstream.Ref("x:1"), "a"))).Status.Import
	if importFailure(well, "a") != nil || len(history(well, "a")) != 1 {
		t.Errorf("after success: %s", asJSON(t, well.Status.Tags))
	}
}

func TestWhatImportsLeaveOfSpecTags(t *testing.T) {
	t.Parallel()
	ns, upstream := env.Namespace(t, "effects"), testenv.NewRegistry(t)
	one := upstream.Push(t, "x:1", testimage.Image(t, "linux/amd64"))
	two := upstream.Push(t, "x:2", testimage.Image(t, "linux/amd64"))
	_, err := env.Images.ImageV1().ImageStreams(ns).Create(t.Context(), &imagev1.ImageStream{
		ObjectMeta: metav1.ObjectMeta{Name: "s"},
		Spec: imagev1.ImageStreamSpec{Tags: []imagev1.TagReference{
			{Name: "reference", Reference: true, From: &corev1.ObjectReference{Kind: "DockerImage", Name: "q.io/x:1"}, Annotations: map[string]string{"k": "v"},
				ReferencePolicy: imagev1.TagReferencePolicy{Type: imagev1.LocalTagReferencePolicy}},
			{Name: "follows", From: &corev1.ObjectReference{Kind: "ImageStreamTag", Name: "reference"}},
			{Name: "retagged", From: &corev1.ObjectReference{Kind: "ImageStreamTag", Name: "nothing"}},
		}},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	s := post(t, ns, importing("s", image(upstream.Ref("x:1"), "reference"), image(upstream.Ref("x:1"), "retagged"),
		image(upstream.Ref("x:1"), "twice"), image(upstream.Ref("x:2"), "twice"))).Status.Import
	tag := specTag(s, "reference")
	if !tag.Reference || tag.Annotations["k"] != "v" || tag.ReferencePolicy.Type != imagev1.LocalTagReferencePolicy || tag.From.Name != upstream.Ref("x:1") || *tag.Generation != s.Generation {
		t.Errorf("spec tag %s", asJSON(t, tag))
	}
	g := fmt.Sprint(" ", s.Generation)
	if got := history(s, "reference"); got[0] != one+g {
		t.Errorf("history of a reference %q", got)
	}
	if got := history(s, "follows"); len(got) == 0 || got[0] != one+g {
		t.Errorf("history of its follower %q", got)
	}
	if tag := specTag(s, "retagged"); tag.From.Kind != "DockerImage" || tag.From.Name != upstream.Ref("x:1") {
		t.Errorf("retagged: %s", asJSON(t, tag))
	}
	if got := history(s, "twice"); !slices.Equal(got, []string{two + g, one + g}) || specTag(s, "twice").From.Name != upstream.Ref("x:2") {
		t.Errorf("two images for one tag: %q from %s", got, specTag(s, "twice").From.Name)
	}
}

// TestImportNeedsNoRightOnStreams: the right to create imports is enough.
func TestImportNeedsNoRightOnStreams(t *testing.T) {
	t.Parallel()
	ns, upstream := env.Namespace(t, "rights"), testenv.NewRegistry(t)
	name := upstream.Push(t, "x:1", testimage.Image(t, "linux/amd64"))
	isi := importing("s", image(upstream.Ref("x:1"), "a"))
	wantStatus(t, refused(t, env.As("importer-"+ns), ns, isi), 403, metav1.StatusReasonForbidden, "imagestreamimports", "")
	wantStatus(t, refused(t, env.Anonymous(), ns, isi), 403, metav1.StatusReasonForbidden, "imagestreamimports", "")
	allow(t, ns, "importer-"+ns, rule("create", "imagestreamimports"))
	for range 2 { // making the stream, and changing it
		answer, err := postAs(t.Context(), env.As("importer-"+ns), ns, isi)
		if err != nil {
			t.Fatal(err)
		}
		wantSuccess(t, answer.Status.Images[0], name)
		name = upstream.Push(t, "x:1", testimage.Image(t, "linux/amd64"))
	}
	if got := history(getStream(t, ns, "s"), "a"); len(got) != 2 {
		t.Errorf("history %q", got)
	}
}

// TestTagOfAnotherNamespace is the last of the contract's examples A4.
func TestTagOfAnotherNamespace(t *testing.T) {
	t.Parallel()
	other, ns, upstream := env.Namespace(t, "other"), env.Namespace(t, "rights"), testenv.NewRegistry(t)
	upstream.Push(t, "x:1", testimage.Image(t, "linux/amd64"))
	name := post(t, other, importing("src", image(upstream.Ref("x:1"), "t"))).Status.Images[0].Image.Name
	user := "tagger-" + ns
	allow(t, ns, user, rule("create", "imagestreams"))
	tryMake := func() (*imagev1.ImageStream, error) {
		return testenv.ImagesFor(env.As(user)).ImageV1().ImageStreams(ns).Create(t.Context(), &imagev1.ImageStream{
			ObjectMeta: metav1.ObjectMeta{Name: "b"},
			Spec:       imagev1.ImageStreamSpec{Tags: []imagev1.TagReference{{Name: "t", From: &corev1.ObjectReference{Kind: "ImageStreamTag", Namespace: other, Name: "src:t"}}}},
		}, metav1.CreateOptions{})
	}
	_, err := tryMake()
	var denied apierrors.APIStatus
	if !errors.As(err, &denied) {
		t.Fatalf("not refused: %v", err)
	}
	status := denied.Status()
	wantStatus(t, status, 422, metav1.StatusReasonInvalid, "ImageStream", "b")
	causes := status.Details.Causes
	if len(causes) != 1 || causes[0].Type != "InternalError" || causes[0].Field != "[]" || !strings.Contains(causes[0].Message, "spec.tags[t].from: Forbidden: "+other+"/src") ||
		!strings.HasPrefix(status.Message, `ImageStream.image.openshift.io "b" is invalid: []: `) {
		t.Errorf("status %s", asJSON(t, status))
	}
	allow(t, other, user, rule("get", "imagestreams/layers"))
	testenv.Eventually(t, "the right to count", func() error {
		s, err := tryMake()
		if err != nil {
			return err
		}
		if got := history(s, "t"); len(got) != 1 || got[0] != name+" 1" {
			t.Errorf("history %q", got)
		}
		return nil
	})
}
