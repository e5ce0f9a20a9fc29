package contract_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	imagev1 "github.com/openshift/api/image/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"weir.dev/weir/internal/testenv"
)

// importing is an ImageStreamImport that writes.
func importing(name string, images ...imagev1.ImageImportSpec) *imagev1.ImageStreamImport {
	return &imagev1.ImageStreamImport{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec:       imagev1.ImageStreamImportSpec{Import: true, Images: images},
	}
}

// looking is one that does not.
func looking(images ...imagev1.ImageImportSpec) *imagev1.ImageStreamImport {
	isi := importing("looked-at", images...)
	isi.Spec.Import = false
	return isi
}

// image imports a pull spec from a plain HTTP registry, into a tag unless to is "".
func image(from, to string, change ...func(*imagev1.ImageImportSpec)) imagev1.ImageImportSpec {
	spec := imagev1.ImageImportSpec{
		From:         corev1.ObjectReference{Kind: "DockerImage", Name: from},
		ImportPolicy: imagev1.TagImportPolicy{Insecure: true},
	}
	if to != "" {
		spec.To = &corev1.LocalObjectReference{Name: to}
	}
	for _, f := range change {
		f(&spec)
	}
	return spec
}

func preserve(spec *imagev1.ImageImportSpec) {
	spec.ImportPolicy.ImportMode = imagev1.ImportModePreserveOriginal
}

func withManifest(spec *imagev1.ImageImportSpec) { spec.IncludeManifest = true }

// wholeRepository has an import take a repository.
func wholeRepository(isi *imagev1.ImageStreamImport, from string) *imagev1.ImageStreamImport {
	isi.Spec.Repository = &imagev1.RepositoryImportSpec{
		From:         corev1.ObjectReference{Kind: "DockerImage", Name: from},
		ImportPolicy: imagev1.TagImportPolicy{Insecure: true},
	}
	return isi
}

// post makes an import, as the administrator.
func post(t *testing.T, ns string, isi *imagev1.ImageStreamImport) *imagev1.ImageStreamImport {
	t.Helper()
	answer, err := postAs(t.Context(), env.Config, ns, isi)
	if err != nil {
		t.Fatalf("importing: %v", err)
	}
	return answer
}

func postAs(ctx context.Context, config *rest.Config, ns string, isi *imagev1.ImageStreamImport) (*imagev1.ImageStreamImport, error) {
	return testenv.ImagesFor(config).ImageV1().ImageStreamImports(ns).Create(ctx, isi, metav1.CreateOptions{})
}

// refused makes an import that must be refused as a whole.
func refused(t *testing.T, config *rest.Config, ns string, isi *imagev1.ImageStreamImport) metav1.Status {
	t.Helper()
	answer, err := postAs(t.Context(), config, ns, isi)
	var status apierrors.APIStatus
	if !errors.As(err, &status) {
		t.Fatalf("not refused: %v, %s", err, asJSON(t, answer))
	}
	return status.Status()
}

// wantStatus compares a Status with a code, a reason, and kind and name of details.
func wantStatus(t *testing.T, got metav1.Status, code int32, reason metav1.StatusReason, kind, name string) {
	t.Helper()
	var details metav1.StatusDetails
	if got.Details != nil {
		details = *got.Details
	}
	if got.Code != code || got.Reason != reason || details.Kind != kind || details.Name != name {
		t.Errorf("got %d %s kind %q name %q, want %d %s %q %q: %s", got.Code, got.Reason, details.Kind, details.Name, code, reason, kind, name, asJSON(t, got))
	}
}

// wantSuccess checks that an image of an answer was found, by digest.
func wantSuccess(t *testing.T, status imagev1.ImageImportStatus, digest string) {
	t.Helper()
	if status.Status.Status != metav1.StatusSuccess || status.Image == nil || status.Image.Name != digest {
		t.Errorf("want image %s, got %s", digest, asJSON(t, status))
	}
}

func asJSON(t *testing.T, v any) string {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func getStream(t *testing.T, ns, name string) *imagev1.ImageStream {
	t.Helper()
	s, err := env.Images.ImageV1().ImageStreams(ns).Get(t.Context(), name, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func wantNoStream(t *testing.T, ns, name string) {
	t.Helper()
	if s, err := env.Images.ImageV1().ImageStreams(ns).Get(t.Context(), name, metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("there is a stream: %v %s", err, asJSON(t, s))
	}
}

// history are the events of a tag, each as "image generation".
func history(s *imagev1.ImageStream, tag string) []string {
	var events []string
	for _, list := range s.Status.Tags {
		for _, e := range list.Items {
			if list.Tag == tag {
				events = append(events, fmt.Sprintf("%s %d", e.Image, e.Generation))
			}
		}
	}
	return events
}

// importFailure is the failed import of a tag, nil for none.
func importFailure(s *imagev1.ImageStream, tag string) *imagev1.TagEventCondition {
	for _, list := range s.Status.Tags {
		for i := range list.Conditions {
			if list.Tag == tag && list.Conditions[i].Type == imagev1.ImportSuccess {
				return &list.Conditions[i]
			}
		}
	}
	return nil
}

func specTag(s *imagev1.ImageStream, tag string) *imagev1.TagReference {
	for i := range s.Spec.Tags {
		if s.Spec.Tags[i].Name == tag {
			return &s.Spec.Tags[i]
		}
	}
	return nil
}

// allow lets a user do things in a namespace, and returns when the server knows.
func allow(t *testing.T, ns, user string, rules ...rbacv1.PolicyRule) {
	t.Helper()
	role := &rbacv1.Role{ObjectMeta: metav1.ObjectMeta{Name: user}, Rules: rules}
	if _, err := env.Kube.RbacV1().Roles(ns).Create(t.Context(), role, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	binding := &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: user},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: user},
		Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: user}},
	}
	if _, err := env.Kube.RbacV1().RoleBindings(ns).Create(t.Context(), binding, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	testenv.Eventually(t, "the rights of "+user, func() error {
		for _, r := range rules {
			resource, subresource, _ := strings.Cut(r.Resources[0], "/")
			review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{User: user, ResourceAttributes: &authorizationv1.ResourceAttributes{
				Namespace: ns, Verb: r.Verbs[0], Group: r.APIGroups[0], Resource: resource, Subresource: subresource,
			}}}
			review, err := env.Kube.AuthorizationV1().SubjectAccessReviews().Create(t.Context(), review, metav1.CreateOptions{})
			if err != nil {
				return err
			}
			if !review.Status.Allowed {
				return fmt.Errorf("%s %s is not allowed yet", r.Verbs[0], r.Resources[0])
			}
		}
		return nil
	})
}

func rule(verb, resource string) rbacv1.PolicyRule {
	return rbacv1.PolicyRule{APIGroups: []string{imagev1.GroupName}, Resources: []string{resource}, Verbs: []string{verb}}
}

func makeSecret(t *testing.T, ns string, secret *corev1.Secret) {
	t.Helper()
	if _, err := env.Kube.CoreV1().Secrets(ns).Create(t.Context(), secret, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
}
