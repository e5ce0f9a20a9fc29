package streams

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	imagev1 "github.com/openshift/api/image/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"weir.dev/weir/internal/imageapi"
	"weir.dev/weir/internal/ociregistry"
)

var (
	mappingsResource = imageapi.Resource(imageapi.ImageStreamMappings)
	streamsResource  = imageapi.Resource(imageapi.ImageStreams)
	namespaceMissing = apierrors.NewNotFound(corev1.Resource("namespaces"), "ns")
	unreachable      = &url.Error{Op: "Get", URL: "https://10.0.0.1:6443/x", Err: errors.New("connection refused")}
)

// answered is an API error with a status of one's own.
func answered(code int, reason metav1.StatusReason, message string, retryAfter int32) error {
	return &apierrors.StatusError{ErrStatus: metav1.Status{
		Status: metav1.StatusFailure, Code: int32(code), Reason: reason, Message: message,
		Details: &metav1.StatusDetails{RetryAfterSeconds: retryAfter},
	}}
}

func invalidAt(path, message string) error {
	return apierrors.NewInvalid(imageapi.Kind("ImageStream"), "app", field.ErrorList{field.Forbidden(field.NewPath(path), message)})
}

// clientTold is what a client is told, in a line.
func clientTold(t *testing.T, err error) (line string, retry time.Duration) {
	t.Helper()
	var e *ociregistry.Error
	if !errors.As(err, &e) {
		t.Fatalf("%v is no error of the registry", err)
	}
	for _, secret := range []string{"10.0.0.1", "6443"} {
		if strings.Contains(e.Message, secret) {
			t.Errorf("the client is told %q", e.Message)
		}
	}
	return fmt.Sprintf("%d %s: %s", e.HTTPStatus(), e.Code, e.Message), e.RetryAfter
}

func TestTrouble(t *testing.T) {
	for name, test := range map[string]struct {
		err   error
		want  string
		retry time.Duration
	}{
		"too many":              {apierrors.NewTooManyRequests("slow down", 7), "429 TOOMANYREQUESTS: doing it: the API server has too many requests", 7 * time.Second},
		"too many, no time":     {answered(429, metav1.StatusReasonTooManyRequests, "", 0), "429 TOOMANYREQUESTS: doing it: the API server has too many requests", time.Second},
		"unavailable":           {apierrors.NewServiceUnavailable("down"), "503 UNAVAILABLE: doing it: the API server sent an unexpected response", time.Second},
		"not synced":            {apierrors.NewServerTimeout(streamsResource, "get", 2), "503 UNAVAILABLE: doing it: the API server timed out", 2 * time.Second},
		"timeout":               {apierrors.NewTimeoutError("late", 3), "503 UNAVAILABLE: doing it: the API server timed out", 3 * time.Second},
		"internal":              {apierrors.NewInternalError(errors.New("at 10.0.0.1")), "503 UNAVAILABLE: doing it: the API server sent an unexpected response", time.Second},
		"no such resource":      {apierrors.NewGenericServerResponse(404, "GET", streamsResource, "", "", 0, true), "503 UNAVAILABLE: doing it: the API server sent an unexpected response", time.Second},
		"unreachable":           {fmt.Errorf("reading: %w", unreachable), "503 UNAVAILABLE: doing it: the API server cannot be reached", time.Second},
		"our time is over":      {fmt.Errorf("reading: %w", context.DeadlineExceeded), "503 UNAVAILABLE: doing it: the API server timed out", time.Second},
		"given up":              {context.Canceled, "503 UNAVAILABLE: doing it: the request was canceled", time.Second},
		"no room":               {answered(507, "InsufficientStorage", "the disk is almost full", 0), "507 UNAVAILABLE: doing it: the disk is almost full", 0},
		"credentials":           {apierrors.NewUnauthorized("who?"), "503 UNAVAILABLE: doing it: the API server rejects this registry's credentials", time.Second},
		"rights":                {apierrors.NewForbidden(streamsResource, "app", errors.New("no")), "503 UNAVAILABLE: doing it: this registry's account lacks a right at the API server", time.Second},
		"an error of ours":      {fmt.Errorf("reading: %w", nameUnknown(repository)), "404 NAME_UNKNOWN: there is no image stream ns/app", 0},
		"conflicts without end": {apierrors.NewConflict(streamsResource, "app", nil), "503 UNAVAILABLE: doing it: the API server sent an unexpected response", time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			e := unavailable(test.err, "doing it")
			if got, retry := clientTold(t, e); got != test.want || retry != test.retry {
				t.Errorf("%s, retry after %v\nwant %s, %v", got, retry, test.want, test.retry)
			}
			if !errors.Is(e, test.err) && !errors.Is(test.err, e) {
				t.Error("the cause is lost")
			}
		})
	}
}

func TestRefusal(t *testing.T) {
	limit := "requested usage of openshift.io/images exceeds the maximum limit per openshift.io/ImageStream (2 > 1)"
	for name, test := range map[string]struct {
		err  error
		want string
	}{
		"no namespace":   {namespaceMissing, `404 NAME_UNKNOWN: namespace "ns" does not exist`},
		"rights":         {apierrors.NewForbidden(streamsResource, "", errors.New(`User "ann" cannot create`)), `403 DENIED: doing it: imagestreams.image.openshift.io is forbidden: User "ann" cannot create`},
		"nobody":         {apierrors.NewUnauthorized("who?"), "503 UNAVAILABLE: doing it: the API server rejects this registry's credentials"},
		"image limit":    {apierrors.NewForbidden(mappingsResource, "app", errors.New("requested usage of storage exceeds the maximum limit")), `403 DENIED: doing it: imagestreammappings.image.openshift.io "app" is forbidden: requested usage of storage exceeds the maximum limit`},
		"stream limit":   {invalidAt("imageStream", limit), `403 DENIED: doing it: ImageStream.image.openshift.io "app" is invalid: imageStream: Forbidden: ` + limit},
		"name":           {apierrors.NewInvalid(imageapi.Kind("ImageStream"), "app", field.ErrorList{field.Invalid(field.NewPath("metadata", "name"), "app", "too long")}), `400 NAME_INVALID: doing it: ImageStream.image.openshift.io "app" is invalid: metadata.name: Invalid value: "app": too long`},
		"image":          {invalidAt("image.dockerImageLayers", "odd"), `400 MANIFEST_INVALID: doing it: ImageStream.image.openshift.io "app" is invalid: image.dockerImageLayers: Forbidden: odd`},
		"policy":         {apierrors.NewBadRequest("odd"), "400 MANIFEST_INVALID: doing it: odd"},
		"body too large": {apierrors.NewRequestEntityTooLargeError("limit is 3145728"), "400 MANIFEST_INVALID: doing it: the manifest has too many entries for the API server"},
		"etcd":           {answered(500, metav1.StatusReasonUnknown, "etcdserver: request is too large", 0), "403 DENIED: doing it: the record would exceed the request size of etcd (--max-request-bytes); delete tags of the image stream, or set its annotation weir.dev/history-limit to shorten the history"},
		"trouble":        {apierrors.NewTooManyRequests("", 1), "429 TOOMANYREQUESTS: doing it: the API server has too many requests"},
		"missing":        {apierrors.NewNotFound(mappingsResource, "app"), "503 UNAVAILABLE: doing it: the API server sent an unexpected response"},
		"network":        {unreachable, "503 UNAVAILABLE: doing it: the API server cannot be reached"},
	} {
		t.Run(name, func(t *testing.T) {
			if got, _ := clientTold(t, apiDenied(test.err, repository, "doing it")); got != test.want {
				t.Errorf("%s\nwant %s", got, test.want)
			}
		})
	}
}

func TestSignatureRefusal(t *testing.T) {
	signatures := imageapi.Resource(imageapi.ImageSignatures)
	for name, test := range map[string]struct {
		err  error
		want string
	}{
		"exists":   {apierrors.NewAlreadyExists(imageapi.Resource("imageSignatures"), "i@s"), "409 SIGNATURE_EXISTS"},
		"invalid":  {apierrors.NewInvalid(imageapi.Kind("ImageSignature"), "i", nil), "400 SIGNATURE_INVALID"},
		"bad":      {apierrors.NewBadRequest("x"), "400 SIGNATURE_INVALID"},
		"nobody":   {apierrors.NewUnauthorized("x"), "503 UNAVAILABLE"},
		"rights":   {apierrors.NewForbidden(signatures, "", errors.New("x")), "403 DENIED"},
		"no image": {apierrors.NewNotFound(imageapi.Resource("images"), "i"), "404 MANIFEST_UNKNOWN"},
		"no API":   {apierrors.NewGenericServerResponse(404, "POST", signatures, "", "", 0, true), "503 UNAVAILABLE"},
		"race":     {apierrors.NewConflict(signatures, "i", nil), "503 UNAVAILABLE"},
		"busy":     {apierrors.NewTooManyRequests("", 1), "429 TOOMANYREQUESTS"},
	} {
		if got, _ := clientTold(t, signatureRefusal(test.err, "i@s")); !strings.HasPrefix(got, test.want+": adding signature i@s: ") {
			t.Errorf("%s: %s, want %s", name, got, test.want)
		}
	}
}

func TestMissing(t *testing.T) {
	generic := apierrors.NewGenericServerResponse(http.StatusNotFound, "GET", schema.GroupResource{}, "", "", 0, true)
	for name, test := range map[string]struct {
		err                        error
		missing, stream, namespace bool
	}{
		"stream of a mapping": {apierrors.NewNotFound(mappingsResource, "app"), true, true, false},
		"stream":              {apierrors.NewNotFound(streamsResource, "app"), true, false, false},
		"something else":      {apierrors.NewNotFound(mappingsResource, "other"), false, false, false},
		"namespace":           {namespaceMissing, false, false, true},
		"namespace, singular": {apierrors.NewNotFound(corev1.Resource("Namespaces"), "ns"), false, false, true},
		"resource":            {generic, false, false, false},
		"nothing":             {nil, false, false, false},
		"network":             {unreachable, false, false, false},
		"wrapped":             {fmt.Errorf("x: %w", apierrors.NewNotFound(mappingsResource, "app")), true, true, false},
	} {
		if missing(test.err, "app") != test.missing || missingStream(test.err, "app") != test.stream || missingNamespace(test.err) != test.namespace {
			t.Errorf("%s: %v, %v, %v", name, missing(test.err, "app"), missingStream(test.err, "app"), missingNamespace(test.err))
		}
	}
}

func TestRemoveEvents(t *testing.T) {
	spec := []imagev1.TagReference{specTag("alone", true), specTag("both", true), specTag("none", true)}
	s := imageStream(
		tagged("alone", items(20, "x=quay.io/a/b", "x")),
		tagged("both", items(20, "x", "y", "x", "z")),
		tagged("empty", nil),
		tagged("none", items(20, "y")),
		tagged("older", items(20, "y", "x")),
	)
	s.Spec.Tags = spec
	if !removeOrders(s, id("x").String()) || len(s.Spec.Tags) != 1 || s.Spec.Tags[0].Name != "none" {
		t.Errorf("spec %v", s.Spec.Tags)
	}
	if removeOrders(s, id("x").String()) {
		t.Error("removed more the second time")
	}
	removeEvents(s, id("x").String())
	var got []string
	for _, tag := range s.Status.Tags {
		line := tag.Tag
		for _, e := range tag.Items {
			for _, name := range []string{"x", "y", "z"} {
				if e.Image == id(name).String() {
					line += fmt.Sprintf(" %s:%d", name, e.Generation)
				}
			}
		}
		got = append(got, line)
	}
	want := "empty, none y:20, older y:20"
	if strings.Join(got, ", ") != want {
		t.Errorf("left %q, want %q", strings.Join(got, ", "), want)
	}
}
