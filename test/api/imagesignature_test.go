package api_test

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const signaturesPath = groupPath + "/imagesignatures"

// signature is the body of an ImageSignature.
func signature(name, content string) string {
	return fmt.Sprintf(`{"metadata":{"name":%q},"type":"AtomicImageV1","content":%q}`, name, base64.StdEncoding.EncodeToString([]byte(content)))
}

func sign(t *testing.T, body, query string) reply {
	t.Helper()
	return raw(t, env.Config, http.MethodPost, signaturesPath+query, body)
}

// signatures are the names of an image's signatures.
func signatures(t *testing.T, image string) []string {
	t.Helper()
	img, err := env.Images.ImageV1().Images().Get(t.Context(), image, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	names := []string{}
	for _, s := range img.Signatures {
		names = append(names, s.Name)
	}
	return names
}

func wantSignatures(t *testing.T, image string, want ...string) {
	t.Helper()
	if diff := cmp.Diff(append([]string{}, want...), signatures(t, image)); diff != "" {
		t.Errorf("signatures (-want +got):\n%s", diff)
	}
}

func TestSignatureIsAddedToItsImage(t *testing.T) {
	image := storeImage(t, digestOf(t, "a")).Name
	body := `{"metadata":{"name":"` + image + `@sig"},"type":"AtomicImageV1","content":"eA==",
		"conditions":[{"type":"Trusted","status":"True"}],"imageIdentity":"x","signedClaims":{"a":"b"},
		"created":"2020-01-02T03:04:05Z","issuedBy":{"commonName":"x"},"issuedTo":{"commonName":"y","publicKeyID":"z"}}`
	sign(t, body, "").want(t, http.StatusCreated, `
		{"kind":"ImageSignature","apiVersion":"image.openshift.io/v1",
		 "metadata":{"name":"`+image+`@sig","uid":"…","creationTimestamp":"…"},
		 "type":"AtomicImageV1","content":"eA=="}`)
	stored := parse(t, raw(t, env.Config, http.MethodGet, groupPath+"/images/"+image, "").body).(map[string]any)["signatures"]
	blankVolatile(stored)
	want := parse(t, []byte(`[{"metadata":{"name":"`+image+`@sig","uid":"…","creationTimestamp":"…"},"type":"AtomicImageV1","content":"eA=="}]`))
	if diff := cmp.Diff(want, stored); diff != "" {
		t.Errorf("stored (-want +got):\n%s", diff)
	}
}

func TestSignatureThatIsThereAlready(t *testing.T) {
	image := storeImage(t, digestOf(t, "a")).Name
	if r := sign(t, signature(image+"@sig", "x"), ""); r.code != http.StatusCreated {
		t.Fatalf("answered %d: %s", r.code, r.body)
	}
	sign(t, signature(image+"@sig", "other"), "").want(t, http.StatusConflict, `
		{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","reason":"AlreadyExists","code":409,
		 "message":"imageSignatures.image.openshift.io \"`+image+`@sig\" already exists",
		 "details":{"name":"`+image+`@sig","group":"image.openshift.io","kind":"imageSignatures"}}`)
	sign(t, signature(image+"@other", "x"), "").wantStatus(t, 409, metav1.StatusReasonAlreadyExists, "imageSignatures", image+"@other")
	sign(t, signature(image+"@second", "second"), "").want(t, http.StatusCreated, `
		{"kind":"ImageSignature","apiVersion":"image.openshift.io/v1","type":"AtomicImageV1","content":"c2Vjb25k",
		 "metadata":{"name":"`+image+`@second","uid":"…","creationTimestamp":"…"}}`)
	wantSignatures(t, image, image+"@sig", image+"@second")
}

func TestSignatureOfMissingImage(t *testing.T) {
	image := digestOf(t, "a")
	document := `{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","reason":"NotFound","code":404,
		"message":"images.image.openshift.io \"` + image + `\" not found",
		"details":{"name":"` + image + `","group":"image.openshift.io","kind":"images"}}`
	sign(t, signature(image+"@sig", "x"), "").want(t, http.StatusNotFound, document)
	raw(t, env.Config, http.MethodDelete, signaturesPath+"/"+image+"@sig", "").want(t, http.StatusNotFound, document)
}

func TestSignatureValidation(t *testing.T) {
	image := storeImage(t, digestOf(t, "a")).Name
	for what, test := range map[string]struct {
		body   string
		name   string
		causes []string
	}{
		"no name":      {`{"type":"x","content":"eA=="}`, "", []string{"FieldValueRequired metadata.name", "FieldValueInvalid metadata.name"}},
		"half a name":  {signature(image+"@", "x"), image + "@", []string{"FieldValueInvalid metadata.name"}},
		"no half":      {signature(image, "x"), image, []string{"FieldValueInvalid metadata.name"}},
		"three halves": {signature(image+"@a@b", "x"), image + "@a@b", []string{"FieldValueInvalid metadata.name"}},
		"no content":   {`{"metadata":{"name":"` + image + `@s"}}`, image + "@s", []string{"FieldValueRequired type", "FieldValueRequired content"}},
		"labels": {`{"metadata":{"name":"` + image + `@s","labels":{"a":"b"},"annotations":{"a":"b"}},"type":"x","content":"eA=="}`, image + "@s",
			[]string{"FieldValueForbidden metadata.labels", "FieldValueForbidden metadata.annotations"}},
	} {
		t.Run(what, func(t *testing.T) {
			r := sign(t, test.body, "")
			r.wantStatus(t, 422, metav1.StatusReasonInvalid, "ImageSignature", test.name)
			r.wantCauses(t, test.causes...)
		})
	}
	wantSignatures(t, image)
}

func TestSignatureIsDeleted(t *testing.T) {
	image := storeImage(t, digestOf(t, "a")).Name
	path := signaturesPath + "/" + image
	for _, name := range []string{"@a", "@b"} {
		if r := sign(t, signature(image+name, name), ""); r.code != http.StatusCreated {
			t.Fatalf("answered %d: %s", r.code, r.body)
		}
	}
	success := `{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Success"}`
	raw(t, env.Config, http.MethodDelete, path+"@a?dryRun=All", "").want(t, http.StatusOK, success)
	wantSignatures(t, image, image+"@a", image+"@b")
	raw(t, env.Config, http.MethodDelete, path+"@a", `{"preconditions":{"uid":"another"}}`).wantStatus(t, 409, metav1.StatusReasonConflict, "imageSignatures", image+"@a")
	raw(t, env.Config, http.MethodDelete, path+"@a", "").want(t, http.StatusOK, success)
	wantSignatures(t, image, image+"@b")
	raw(t, env.Config, http.MethodDelete, path+"@a", "").want(t, http.StatusNotFound, `
		{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","reason":"NotFound","code":404,
		 "message":"imageSignatures.image.openshift.io \"`+image+`@a\" not found",
		 "details":{"name":"`+image+`@a","group":"image.openshift.io","kind":"imageSignatures"}}`)
	for _, name := range []string{"", "@", "@a@b"} {
		raw(t, env.Config, http.MethodDelete, path+name, "").wantStatus(t, 400, metav1.StatusReasonBadRequest, "", "")
	}
}

func TestSignatureDryRunWritesNothing(t *testing.T) {
	image := storeImage(t, digestOf(t, "a")).Name
	if r := sign(t, signature(image+"@sig", "x"), "?dryRun=All"); r.code != http.StatusCreated {
		t.Errorf("answered %d: %s", r.code, r.body)
	}
	wantSignatures(t, image)
}

func TestConcurrentSignaturesLoseNothing(t *testing.T) {
	image := storeImage(t, digestOf(t, "a")).Name
	const writers = 12
	var group sync.WaitGroup
	for i := range writers {
		group.Go(func() {
			if r := sign(t, signature(fmt.Sprintf("%s@%d", image, i), fmt.Sprint(i)), ""); r.code != http.StatusCreated {
				t.Errorf("signature %d: %d %s", i, r.code, r.body)
			}
		})
	}
	group.Wait()
	if got := signatures(t, image); len(got) != writers {
		t.Errorf("%d signatures, want %d: %v", len(got), writers, got)
	}
}

func TestSignatureIsWriteOnly(t *testing.T) {
	image := storeImage(t, digestOf(t, "a")).Name
	body, path := signature(image+"@sig", "x"), signaturesPath+"/"+image+"@sig"
	raw(t, env.Config, http.MethodGet, signaturesPath, "").wantStatus(t, 405, metav1.StatusReasonMethodNotAllowed, "", "")
	raw(t, env.Config, http.MethodGet, path, "").wantStatus(t, 405, metav1.StatusReasonMethodNotAllowed, "", "")
	if r := raw(t, env.Config, http.MethodPost, signaturesPath, body, "Accept", acceptTable); r.code != http.StatusNotAcceptable {
		t.Errorf("POST for a table alone: %d", r.code)
	}
	wantRefused(t, http.MethodPost, signaturesPath, body, "imagesignatures", "")
	wantRefused(t, http.MethodDelete, path, "", "imagesignatures", image+"@sig")
	wantSignatures(t, image)
	if r := raw(t, env.Config, http.MethodPost, signaturesPath, body, "Accept", acceptTable+",application/json"); r.code != http.StatusCreated {
		t.Errorf("POST for a table or JSON: %d %s", r.code, r.body)
	}
}
