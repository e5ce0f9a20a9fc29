package imagestreamimport

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	imagev1 "github.com/openshift/api/image/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/klog/v2"
	"k8s.io/klog/v2/ktesting"

	"weir.dev/weir/internal/imageapi"
)

// A line of the log names tags and reasons, a bounded number of them.
func TestLogOutcome(t *testing.T) {
	ok := metav1.Status{Status: metav1.StatusSuccess}
	failed := func(reason, message string) metav1.Status {
		return metav1.Status{Status: metav1.StatusFailure, Reason: metav1.StatusReason(reason), Message: message}
	}
	image := func(from, to string) imagev1.ImageImportSpec {
		spec := imagev1.ImageImportSpec{From: corev1.ObjectReference{Name: from}}
		if to != "" {
			spec.To = &corev1.LocalObjectReference{Name: to}
		}
		return spec
	}
	answered := func(cause string, specs []imagev1.ImageImportSpec, statuses ...metav1.Status) *imagev1.ImageStreamImport {
		isi := &imagev1.ImageStreamImport{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web"}}
		isi.Spec.Import, isi.Spec.Images = true, specs
		metav1.SetMetaDataAnnotation(&isi.ObjectMeta, imageapi.AnnotationImportCause, cause)
		for _, s := range statuses {
			isi.Status.Images = append(isi.Status.Images, imagev1.ImageImportStatus{Status: s})
		}
		return isi
	}
	repository := answered("", nil)
	repository.Spec.Repository = &imagev1.RepositoryImportSpec{From: corev1.ObjectReference{Name: "q.io/x"}}
	repository.Status.Repository = &imagev1.RepositoryImportStatus{Images: []imagev1.ImageImportStatus{{Tag: "1", Status: ok}, {Tag: "2", Status: failed("NotFound", "gone")}}}
	unlisted := repository.DeepCopy()
	unlisted.Spec.Import = false
	unlisted.Status.Repository = &imagev1.RepositoryImportStatus{Status: failed("Unauthorized", "")}
	many := answered("schedule", nil)
	for i := range 12 {
		many.Spec.Images = append(many.Spec.Images, image("q.io/x", fmt.Sprint(i)))
		many.Status.Images = append(many.Status.Images, imagev1.ImageImportStatus{Status: failed("InternalError", strings.Repeat("x", 1000))})
	}

	for name, test := range map[string]struct {
		isi    *imagev1.ImageStreamImport
		dryRun []string
		want   []string
	}{
		"tags": {answered("retry", []imagev1.ImageImportSpec{image("q.io/x:1", "1"), image("q.io/x:2", "gone")}, ok, failed("NotFound", "not found")), nil,
			[]string{"Imported", `imageStream="shop/web"`, `why="retry"`, `tags=["1"]`, `failed=["gone: NotFound: not found"]`}},
		"a request":    {answered("mine", []imagev1.ImageImportSpec{image("q.io/x:1", "")}, ok), nil, []string{`why="request"`, `tags=["q.io/x:1"]`, `failed=[]`}},
		"a dry run":    {answered("", []imagev1.ImageImportSpec{image("q.io/x:1", "1")}, ok), []string{"All"}, []string{"Looked at images"}},
		"a repository": {repository, nil, []string{`tags=["1"]`, `failed=["2: NotFound: gone"]`}},
		"no list":      {unlisted, nil, []string{"Looked at images", `failed=["q.io/x: Unauthorized"]`}},
		"many":         {many, nil, []string{`"and 2 more"`, "x…"}},
	} {
		t.Run(name, func(t *testing.T) {
			logger := ktesting.NewLogger(t, ktesting.NewConfig(ktesting.Verbosity(2), ktesting.BufferLogs(true)))
			logOutcome(klog.NewContext(t.Context(), logger), test.isi, test.dryRun)
			log := logger.GetSink().(ktesting.Underlier).GetBuffer().String()
			for _, want := range test.want {
				if !strings.Contains(log, want) {
					t.Errorf("the log lacks %s:\n%s", want, log)
				}
			}
			if len(log) > 5000 {
				t.Errorf("the line has %d bytes", len(log))
			}
		})
	}
	imported, failures := outcomes(many)
	if diff := cmp.Diff([]int{0, maxLogged + 1}, []int{len(imported), len(failures)}); diff != "" {
		t.Error(diff)
	}
}
