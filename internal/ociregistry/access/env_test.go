package access

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	"k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/client-go/kubernetes/fake"
	metadatafake "k8s.io/client-go/metadata/fake"

	"weir.dev/weir/internal/auth"
	"weir.dev/weir/internal/auth/credential"
	"weir.dev/weir/internal/auth/tokens"
	"weir.dev/weir/internal/ociregistry"
	"weir.dev/weir/internal/reference"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world is what an Access asks: whose token it is, and who may do what. The questions to
// a real API are asked in test/registry.
type world struct {
	mu sync.Mutex
	// tokens are API tokens by their text.
	tokens map[string]user.Info
	// rights are "user verb resource/sub namespace/name", with "*" for any name.
	rights map[string]bool
	// down lets every question fail.
	down  bool
	asked int
	at    time.Time
	// objects are those that tokens are bound to.
	objects *metadatafake.FakeMetadataClient
}

// Tokens of the API, as an identity provider or the API itself issues them.
var (
	tokenOfAlice = jwtThatEnds(time.Date(2031, 1, 1, 0, 0, 0, 0, time.UTC))
	tokenOfBob   = jwtThatEnds(time.Date(2031, 1, 1, 0, 0, 1, 0, time.UTC))
)

var errDown = errors.New("connection refused")

func newWorld() *world {
	return &world{
		tokens: map[string]user.Info{
			tokenOfAlice: &user.DefaultInfo{Name: "alice", UID: "1", Groups: []string{"devs", user.AllAuthenticated}},
			tokenOfBob:   &user.DefaultInfo{Name: "bob", Groups: []string{user.AllAuthenticated}},
		},
		rights: map[string]bool{},
		at:     time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC),

		objects: metadatafake.NewSimpleMetadataClient(metadataScheme()),
	}
}

func metadataScheme() *runtime.Scheme {
	scheme := metadatafake.NewTestScheme()
	utilruntime.Must(metav1.AddMetaToScheme(scheme))
	return scheme
}

func (w *world) allow(rights ...string) { w.set(true, rights...) }
func (w *world) revoke(rights ...string) {
	w.set(false, rights...)
}

func (w *world) set(allowed bool, rights ...string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, r := range rights {
		w.rights[r] = allowed
	}
}

func (w *world) setDown(down bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.down = down
}

func (w *world) pass(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.at = w.at.Add(d)
}

func (w *world) now() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.at
}

func (w *world) AuthenticateToken(_ context.Context, token string) (*authenticator.Response, bool, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.asked++
	if w.down {
		return nil, false, errDown
	}
	u, ok := w.tokens[token]
	if !ok {
		return nil, false, nil
	}
	return &authenticator.Response{User: u}, true, nil
}

func (w *world) Authorize(_ context.Context, a authorizer.Attributes) (authorizer.Decision, string, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.down {
		return authorizer.DecisionNoOpinion, "", errDown
	}
	resource := a.GetResource()
	if a.GetSubresource() != "" {
		resource += "/" + a.GetSubresource()
	}
	right := func(name string) string {
		return a.GetUser().GetName() + " " + a.GetVerb() + " " + resource + " " + name
	}
	if w.rights[right(a.GetNamespace()+"/"+a.GetName())] || w.rights[right("*")] {
		return authorizer.DecisionAllow, "", nil
	}
	return authorizer.DecisionNoOpinion, "no rule", nil
}

// access is an Access in that world.
func (w *world) access() *Access {
	keys := tokens.NewKeys(tokens.KeyOptions{Secrets: fake.NewClientset().CoreV1().Secrets(metav1.NamespaceSystem), Now: w.now})
	return &Access{
		reviewer: w,
		rights:   auth.New(authorizerFunc(w.Authorize)),
		issuer:   tokens.NewIssuer(keys, nil),
		objects:  credential.NewObjects(w.objects, nil, nil, w.now),
		lifetime: DefaultLifetime,
		now:      w.now,
	}
}

// authorizerFunc is an authorizer without conditions.
type authorizerFunc func(context.Context, authorizer.Attributes) (authorizer.Decision, string, error)

func (f authorizerFunc) Authorize(ctx context.Context, a authorizer.Attributes) (authorizer.Decision, string, error) {
	return f(ctx, a)
}

func (f authorizerFunc) ConditionsAwareAuthorize(ctx context.Context, a authorizer.Attributes) authorizer.ConditionsAwareDecision {
	return authorizer.ConditionsAwareDecisionFromParts(f(ctx, a))
}

func (authorizerFunc) EvaluateConditions(context.Context, authorizer.ConditionsAwareDecision, authorizer.ConditionsData) (authorizer.Decision, string, error) {
	return authorizer.DecisionDeny, "", authorizer.ErrorConditionEvaluationNotSupported
}

// request is one as a client sends it; authorization "" is none.
func request(method, target, authorization string) *http.Request {
	r := httptest.NewRequest(method, target, nil)
	r.Host = "registry.test:5000"
	if authorization != "" {
		r.Header.Set("Authorization", authorization)
	}
	return r
}

func basicHeader(password string) string {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.SetBasicAuth("whoever", password)
	return r.Header.Get("Authorization")
}

// repo is a repository's name that must be one.
func repo(t testing.TB, name string) reference.Repository {
	t.Helper()
	r, err := reference.ParseRepository(name)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// failure is the error of the registry in err; it fails the test for any other.
func failure(t testing.TB, err error) *ociregistry.Error {
	t.Helper()
	var e *ociregistry.Error
	if !errors.As(err, &e) {
		t.Fatalf("got %v, want an error of the registry", err)
	}
	return e
}

var allActions = []ociregistry.Action{
	ociregistry.ActionPull, ociregistry.ActionPush, ociregistry.ActionDelete, ociregistry.ActionSignatureRead, ociregistry.ActionSign,
}

// allowed lists what the caller may do in a repository.
func allowed(t testing.TB, a *Access, c ociregistry.Caller, name string) []ociregistry.Action {
	t.Helper()
	var may []ociregistry.Action
	for _, action := range allActions {
		err := a.Allow(context.Background(), c, repo(t, name), action)
		if err == nil {
			may = append(may, action)
		} else if e := failure(t, err); e.Code != ociregistry.CodeUnauthorized {
			t.Fatalf("%s: %v", action, err)
		}
	}
	slices.Sort(may)
	return may
}
