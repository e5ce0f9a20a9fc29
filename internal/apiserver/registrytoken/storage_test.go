package registrytoken

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/authentication/user"
	apirequest "k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/client-go/kubernetes/fake"
	metadatafake "k8s.io/client-go/metadata/fake"

	"weir.dev/weir/internal/auth/credential"
	"weir.dev/weir/internal/auth/tokens"
	weirv1alpha1 "weir.dev/weir/internal/weirapi/v1alpha1"
)

func issuer() *tokens.Issuer {
	return tokens.NewIssuer(tokens.NewKeys(tokens.KeyOptions{Secrets: fake.NewClientset().CoreV1().Secrets(metav1.NamespaceSystem)}), nil)
}

func create(r *REST, u user.Info, seconds int64, o metav1.CreateOptions) (*weirv1alpha1.RegistryToken, error) {
	return createWith(context.Background(), r, u, seconds, o)
}

func createWith(ctx context.Context, r *REST, u user.Info, seconds int64, o metav1.CreateOptions) (*weirv1alpha1.RegistryToken, error) {
	if credential.FromContext(ctx) == (credential.Shown{}) {
		ctx = showing(ctx, "Bearer "+tokenThatEnds(time.Now().Add(24*time.Hour)))
	}
	if u != nil {
		ctx = apirequest.WithUser(ctx, u)
	}
	asked := &weirv1alpha1.RegistryToken{
		ObjectMeta: metav1.ObjectMeta{ManagedFields: []metav1.ManagedFieldsEntry{{Manager: "somebody"}}},
		Spec:       weirv1alpha1.RegistryTokenSpec{ExpirationSeconds: seconds},
		Status:     weirv1alpha1.RegistryTokenStatus{Token: "as the client sent it"},
	}
	answer, err := r.Create(ctx, asked, nil, &o)
	if err != nil {
		return nil, err
	}
	return answer.(*weirv1alpha1.RegistryToken), nil
}

// showing is the context of a request with that Authorization header.
func showing(ctx context.Context, authorization string) (noted context.Context) {
	r := httptest.NewRequestWithContext(ctx, http.MethodPost, "/apis/weir.dev/v1alpha1/registrytokens", nil)
	r.Header.Set("Authorization", authorization)
	credential.Note(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { noted = r.Context() }), "/").ServeHTTP(nil, r)
	return noted
}

func tokenThatEnds(at time.Time) string {
	return "x." + base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, `{"exp":%d}`, at.Unix())) + ".y"
}

// objects are those of an API with nothing in it.
func objects() *credential.Objects {
	return credential.NewObjects(metadatafake.NewSimpleMetadataClient(metadatafake.NewTestScheme()), nil, nil, nil)
}

var alice = &user.DefaultInfo{Name: "alice", UID: "7", Groups: []string{"devs", user.AllAuthenticated}}

func TestCreate(t *testing.T) {
	i := issuer()
	answer, err := create(NewREST(i, objects()), alice, 600, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	token, err := i.Verify(context.Background(), answer.Status.Token)
	if err != nil {
		t.Fatal(err)
	}
	if token.Kind != tokens.Password || token.User.GetName() != "alice" || token.User.GetUID() != "7" || len(token.User.GetGroups()) != 2 || token.Grants != nil {
		t.Errorf("it is a token of %+v", token)
	}
	if lasts := token.ExpiresAt.Sub(token.IssuedAt); lasts != 10*time.Minute || !answer.Status.ExpirationTimestamp.Time.Equal(token.ExpiresAt) {
		t.Errorf("it lasts %s, until %s as the answer says", lasts, answer.Status.ExpirationTimestamp)
	}
	if answer.ManagedFields != nil {
		t.Error("the answer has managed fields")
	}
}

func TestCreateRefuses(t *testing.T) {
	many := &user.DefaultInfo{Name: "many"}
	for n := range 500 {
		many.Groups = append(many.Groups, fmt.Sprintf("a-group-with-a-long-name-%d", n))
	}
	anonymous := &user.DefaultInfo{Name: user.Anonymous, Groups: []string{user.AllUnauthenticated}}
	for name, test := range map[string]struct {
		user    user.Info
		seconds int64
		want    metav1.StatusReason
	}{
		"too short":       {alice, 599, metav1.StatusReasonInvalid},
		"negative":        {alice, -1, metav1.StatusReasonInvalid},
		"too long":        {alice, 43201, metav1.StatusReasonInvalid},
		"nobody":          {nil, 600, metav1.StatusReasonForbidden},
		"anonymous":       {anonymous, 600, metav1.StatusReasonForbidden},
		"too many groups": {many, 600, metav1.StatusReasonForbidden},
	} {
		if answer, err := create(NewREST(issuer(), objects()), test.user, test.seconds, metav1.CreateOptions{}); apierrors.ReasonForError(err) != test.want {
			t.Errorf("%s: %+v, %v, want %s", name, answer, err, test.want)
		}
	}
}

// A password never outlives the credential that it is issued for.
func TestPasswordsEndWithTheirCredential(t *testing.T) {
	i := issuer()
	soon := time.Now().Add(10 * time.Minute).Truncate(time.Second)
	answer, err := createWith(showing(t.Context(), "Bearer "+tokenThatEnds(soon)), NewREST(i, objects()), alice, 43200, metav1.CreateOptions{})
	if err != nil || !answer.Status.ExpirationTimestamp.Time.Equal(soon) {
		t.Errorf("a password for ten minutes' token: %+v, %v", answer, err)
	}
	robot := &user.DefaultInfo{Name: "system:serviceaccount:shop:robot", UID: "7"}
	for name, test := range map[string]struct {
		authorization string
		user          user.Info
		want          string
	}{
		"a token without an end":  {"Bearer opaque", alice, "has no known expiry"},
		"a token that has ended":  {"Bearer " + tokenThatEnds(time.Now()), alice, "its credential has expired"},
		"an account that is gone": {"Bearer " + tokenThatEnds(soon), robot, "serviceaccounts shop/robot"},
	} {
		_, err := createWith(showing(t.Context(), test.authorization), NewREST(i, objects()), test.user, 600, metav1.CreateOptions{})
		if !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestDryRunHasNoToken(t *testing.T) {
	answer, err := create(NewREST(issuer(), objects()), alice, 600, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
	if err != nil || answer.Status != (weirv1alpha1.RegistryTokenStatus{}) {
		t.Errorf("%+v, %v", answer, err)
	}
}

func TestAdmissionIsAsked(t *testing.T) {
	refusal := errors.New("not today")
	ctx := apirequest.WithUser(context.Background(), alice)
	_, err := NewREST(issuer(), objects()).Create(ctx, &weirv1alpha1.RegistryToken{Spec: weirv1alpha1.RegistryTokenSpec{ExpirationSeconds: 600}},
		func(context.Context, runtime.Object) error { return refusal }, &metav1.CreateOptions{})
	if !errors.Is(err, refusal) {
		t.Errorf("got %v", err)
	}
}

// brokenSecrets are those of an API that does not answer.
type brokenSecrets struct{}

var errBroken = errors.New("secret things went wrong")

func (brokenSecrets) Get(context.Context, string, metav1.GetOptions) (*corev1.Secret, error) {
	return nil, errBroken
}

func (brokenSecrets) Create(context.Context, *corev1.Secret, metav1.CreateOptions) (*corev1.Secret, error) {
	return nil, errBroken
}

func (brokenSecrets) Update(context.Context, *corev1.Secret, metav1.UpdateOptions) (*corev1.Secret, error) {
	return nil, errBroken
}

func TestWithoutAKey(t *testing.T) {
	_, err := create(NewREST(tokens.NewIssuer(tokens.NewKeys(tokens.KeyOptions{Secrets: brokenSecrets{}}), nil), objects()), alice, 600, metav1.CreateOptions{})
	if seconds, retry := apierrors.SuggestsClientDelay(err); !retry || seconds == 0 || strings.Contains(err.Error(), errBroken.Error()) {
		t.Errorf("got %v; want one that says when to try again", err)
	}
}
