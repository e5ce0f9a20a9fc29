package contract_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	imagev1 "github.com/openshift/api/image/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"weir.dev/weir/internal/testenv"
	"weir.dev/weir/internal/testenv/testimage"
)

// refusing has a registry answer for manifests and tag lists with a status and a code.
func refusing(upstream *testenv.Registry, status int, code string) {
	upstream.Intercept(func(w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path == "/v2/" {
			return false
		}
		if code == "" {
			w.WriteHeader(status)
			return true
		}
		testenv.RegistryError(w, status, code, "said the registry")
		return true
	})
}

func TestStatusOfEachRefusal(t *testing.T) {
	t.Parallel()
	ns := env.Namespace(t, "statuses")
	const missing, denied = metav1.StatusReasonNotFound, metav1.StatusReasonUnauthorized
	const broken = metav1.StatusReasonInternalError
	for _, test := range []struct {
		status             int
		code               string
		image, repository  metav1.StatusReason
		message, ofListing string
	}{
		{404, "MANIFEST_UNKNOWN", missing, missing, `dockerimage.image.openshift.io "REF:1" not found`, ""},
		{404, "NAME_UNKNOWN", missing, missing, `dockerimage.image.openshift.io "REF:1" not found`, `dockerimage.image.openshift.io "REF" not found`}, // O45
		{401, "UNAUTHORIZED", denied, denied, `you may not have access to the container image "REF:1"`, `you may not have access to the container image "REF"`},
		{403, "DENIED", broken, broken, "Internal error occurred: REF:1: denied: said the registry", "Internal error occurred: REF: denied: said the registry"}, // O43
		{429, "TOOMANYREQUESTS", broken, broken, "Internal error occurred: REF:1: toomanyrequests: said the registry", "Internal error occurred: REF: toomanyrequests"},
		{429, "", broken, broken, "Internal error occurred: REF:1: ", "Internal error occurred: REF: "},
		{500, "", broken, broken, "Internal error occurred: REF:1: received unexpected HTTP status: 500 Internal Server Error", "Internal error occurred: REF: received unexpected HTTP status: 500 Internal Server Error"},
		{503, "UNAVAILABLE", broken, broken, "Internal error occurred: REF:1: received unexpected HTTP status: 503 Service Unavailable", "Internal error occurred: REF: received unexpected HTTP status: 503 Service Unavailable"},
	} {
		t.Run(fmt.Sprint(test.status, test.code), func(t *testing.T) {
			upstream := testenv.NewRegistry(t)
			ref := upstream.Ref("team/app")
			refusing(upstream, test.status, test.code)
			answer := post(t, ns, looking(image(ref+":1", "")))
			status := answer.Status.Images[0]
			wantFailure(t, status.Status, test.image, strings.ReplaceAll(test.message, "REF", ref))
			if status.Tag != "1" || status.Image != nil {
				t.Errorf("tag %q, image %v", status.Tag, status.Image)
			}
			if test.image == broken {
				causes := status.Status.Details.Causes
				if len(causes) != 1 || causes[0].Type != "" || causes[0].Field != "" || !strings.HasPrefix(causes[0].Message, ref+":1: ") {
					t.Errorf("causes %+v, want the text from the pull spec on", causes)
				}
			}
			listing := testenv.NewRegistry(t) // of its own: the other one may have asked to be left alone
			refusing(listing, test.status, test.code)
			repository := post(t, ns, wholeRepository(looking(), listing.Ref("team/app"))).Status.Repository
			wantFailure(t, repository.Status, test.repository, strings.ReplaceAll(test.ofListing, "REF", listing.Ref("team/app")))
			if repository.Images != nil {
				t.Errorf("images of a repository that cannot be listed: %v", repository.Images)
			}
		})
	}
}

// wantFailure compares a status within an answer: a whole Failure with its code.
func wantFailure(t *testing.T, got metav1.Status, reason metav1.StatusReason, message string) {
	t.Helper()
	code := map[metav1.StatusReason]int32{metav1.StatusReasonNotFound: 404, metav1.StatusReasonUnauthorized: 401, metav1.StatusReasonForbidden: 403, metav1.StatusReasonInternalError: 500}[reason]
	if got.Status != metav1.StatusFailure || got.Reason != reason || got.Code != code || !contains(got.Message, message) {
		t.Errorf("got %s, want %s %d %q", asJSON(t, got), reason, code, message)
	}
}

func TestStatusOfNamesWithoutRepository(t *testing.T) {
	t.Parallel()
	ns := env.Namespace(t, "statuses")
	answer := post(t, ns, looking(image("foo.bar", ""), image("*", ""), image("blocked.example/team/app:1", "")))
	for i := range 2 {
		wantFailure(t, answer.Status.Images[i].Status, metav1.StatusReasonInternalError, "unable to parse docker reference")
	}
	blocked := answer.Status.Images[2]
	wantFailure(t, blocked.Status, metav1.StatusReasonForbidden, "blocked")
	if details := blocked.Status.Details; blocked.Tag != "" || details == nil || asJSON(t, details) != "{}" {
		t.Errorf("status of a blocked image: %s", asJSON(t, blocked))
	}
	repository := post(t, ns, wholeRepository(looking(), "blocked.example/team/app")).Status.Repository
	wantFailure(t, repository.Status, metav1.StatusReasonForbidden, "blocked")
}

func TestValidation(t *testing.T) {
	t.Parallel()
	ns := env.Namespace(t, "validation")
	of := func(change func(*imagev1.ImageImportSpec)) *imagev1.ImageStreamImport {
		return looking(image("q.io/x:1", "a", change))
	}
	repository := func(kind, name string) *imagev1.ImageStreamImport {
		isi := wholeRepository(looking(), name)
		isi.Spec.Repository.From.Kind = kind
		return isi
	}
	for name, test := range map[string]struct {
		isi   *imagev1.ImageStreamImport
		field string
		cause metav1.CauseType
	}{
		"nothing":             {looking(), "spec.images", metav1.CauseTypeFieldValueInvalid},
		"bad name":            {importing("A", image("q.io/x:1", "a")), "metadata.name", metav1.CauseTypeFieldValueInvalid},
		"kind":                {of(func(s *imagev1.ImageImportSpec) { s.From.Kind = "ImageStreamTag" }), "spec.images[0].from.kind", metav1.CauseTypeFieldValueInvalid},
		"no from":             {of(func(s *imagev1.ImageImportSpec) { s.From.Name = "" }), "spec.images[0].from.name", metav1.CauseTypeFieldValueRequired},
		"bad from":            {of(func(s *imagev1.ImageImportSpec) { s.From.Name = "q.io/X:1" }), "spec.images[0].from.name", metav1.CauseTypeFieldValueInvalid},
		"to without name":     {of(func(s *imagev1.ImageImportSpec) { s.To.Name = "" }), "spec.images[0].to.name", metav1.CauseTypeFieldValueInvalid},
		"mode":                {of(func(s *imagev1.ImageImportSpec) { s.ImportPolicy.ImportMode = "Some" }), "spec.images[0].importPolicy.importMode", metav1.CauseTypeFieldValueInvalid},
		"repository kind":     {repository("ImageStreamTag", "q.io/x"), "spec.repository.from.kind", metav1.CauseTypeFieldValueInvalid},
		"repository":          {repository("DockerImage", ""), "spec.repository.from.name", metav1.CauseTypeFieldValueRequired},
		"bad repository":      {repository("DockerImage", "q.io/X"), "spec.repository.from.name", metav1.CauseTypeFieldValueInvalid},
		"repository's tag":    {repository("DockerImage", "q.io/x:1"), "spec.repository.from.name", metav1.CauseTypeFieldValueInvalid},
		"repository's digest": {repository("DockerImage", "q.io/x@sha256:"+strings.Repeat("0", 64)), "spec.repository.from.name", metav1.CauseTypeFieldValueInvalid},
	} {
		t.Run(name, func(t *testing.T) {
			status := refused(t, env.Config, ns, test.isi)
			wantStatus(t, status, 422, metav1.StatusReasonInvalid, "ImageStreamImport", test.isi.Name)
			if causes := status.Details.Causes; len(causes) == 0 || causes[0].Field != test.field || causes[0].Type != test.cause {
				t.Errorf("causes %+v, want %s on %s", causes, test.cause, test.field)
			}
		})
	}
}

// A reference policy that does not exist only shows when the stream is written.
func TestBadReferencePolicyIsThatOfTheStream(t *testing.T) {
	t.Parallel()
	ns, upstream := env.Namespace(t, "validation"), testenv.NewRegistry(t)
	upstream.Push(t, "x:1", testimage.Image(t, "linux/amd64"))
	isi := importing("s", image(upstream.Ref("x:1"), "a", func(s *imagev1.ImageImportSpec) { s.ReferencePolicy.Type = "Some" }))
	status := refused(t, env.Config, ns, isi)
	wantStatus(t, status, 422, metav1.StatusReasonInvalid, "ImageStream", "s")
	if causes := status.Details.Causes; len(causes) != 1 || causes[0].Field != "spec.tags[a].referencePolicy.type" {
		t.Errorf("causes %+v", causes)
	}
	wantNoStream(t, ns, "s")
}
