package chaos_test

import (
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/golang-jwt/jwt/v5"
	digest "github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"weir.dev/weir/internal/auth/roles"
	"weir.dev/weir/internal/testenv"
	"weir.dev/weir/internal/testenv/testimage"
)

// guarded is a request that takes a right, and what serves it: a row of the registry's
// table of routes. In path, NAME stands for a repository, and TAG, DIGEST, BLOB and
// UPLOAD for what is in it.
type guarded struct{ resource, method, path, needs string }

// guardedRoutes has every route at least once. HEAD goes with GET.
var guardedRoutes = []guarded{
	{"rootResource", "GET", "/", "nothing"},
	{"healthResource", "GET", "/healthz", "nothing"},
	{"tokenResource", "GET", "/openshift/token?scope=repository:NAME:pull,push,delete", "token"},
	{"tokenResource", "POST", "/openshift/token?scope=repository:NAME:pull,push,delete", "token"},
	{"versionResource", "GET", "/v2/", "login"},
	{"catalogResource", "GET", "/v2/_catalog", "catalog"},
	{"tagsResource", "GET", "/v2/NAME/tags/list", "pull"},
	{"referrersResource", "GET", "/v2/NAME/referrers/DIGEST", "pull"},
	{"manifestResource", "GET", "/v2/NAME/manifests/TAG", "pull"},
	{"manifestResource", "GET", "/v2/NAME/manifests/DIGEST", "pull"},
	{"manifestResource", "PUT", "/v2/NAME/manifests/TAG", "push"},
	{"manifestResource", "PUT", "/v2/NAME/manifests/DIGEST?tag=TAG", "push"},
	{"manifestResource", "DELETE", "/v2/NAME/manifests/TAG", "delete"},
	{"manifestResource", "DELETE", "/v2/NAME/manifests/DIGEST", "delete"},
	{"blobResource", "GET", "/v2/NAME/blobs/BLOB", "pull"},
	{"blobResource", "DELETE", "/v2/NAME/blobs/BLOB", "delete"},
	{"uploadsResource", "POST", "/v2/NAME/blobs/uploads/", "push"},
	{"uploadsResource", "POST", "/v2/NAME/blobs/uploads/?digest=BLOB", "push"},
	{"uploadsResource", "POST", "/v2/NAME/blobs/uploads/?mount=BLOB&from=NAME", "push"},
	{"uploadsResource", "POST", "/v2/NAME/blobs/uploads/?mount=BLOB&from=own/app", "push"},
	{"uploadResource", "GET", "/v2/NAME/blobs/uploads/UPLOAD", "pull"},
	{"uploadResource", "PATCH", "/v2/NAME/blobs/uploads/UPLOAD", "push"},
	{"uploadResource", "PUT", "/v2/NAME/blobs/uploads/UPLOAD?digest=BLOB", "push"},
	{"uploadResource", "DELETE", "/v2/NAME/blobs/uploads/UPLOAD", "push"},
	{"signaturesResource", "GET", "/extensions/v2/NAME/signatures/DIGEST", "pull"},
	{"signaturesResource", "PUT", "/extensions/v2/NAME/signatures/DIGEST", "sign"},
	{"storedBlobResource", "DELETE", "/admin/blobs/BLOB", "cluster"},
	{"missingResource", "GET", "/admin/missing", "cluster"},
	{"metricsResource", "GET", "/extensions/v2/metrics", "cluster"},
}

// TestRegistryRoutesAreGuarded holds that the rows above have every route that the
// registry serves. What it serves is read from its source: a route that is new is either
// here or fails this test.
func TestRegistryRoutesAreGuarded(t *testing.T) {
	source := filepath.Join("..", "..", "internal", "ociregistry", "routes.go")
	file, err := parser.ParseFile(token.NewFileSet(), source, nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	served := map[string]bool{}
	for _, decl := range file.Decls {
		table, ok := decl.(*ast.FuncDecl)
		if !ok || table.Name.Name != "table" {
			continue
		}
		ast.Inspect(table, func(n ast.Node) bool {
			row, ok := n.(*ast.CompositeLit)
			if !ok || row.Type != nil { // rows stand without a type, the table has one
				return true
			}
			method, _ := strings.CutPrefix(row.Elts[1].(*ast.SelectorExpr).Sel.Name, "Method")
			served[row.Elts[0].(*ast.Ident).Name+" "+strings.ToUpper(method)] = true
			return false
		})
	}
	tested := map[string]bool{}
	for _, r := range guardedRoutes {
		tested[r.resource+" "+r.method] = true
	}
	if !maps.Equal(served, tested) {
		t.Errorf("the registry serves %q\nthe table has %q", slices.Sorted(maps.Keys(served)), slices.Sorted(maps.Keys(tested)))
	}
}

// names are what stands for the parts of a path.
type names struct{ repo, tag, digest, blob, upload string }

func (n names) in(text string) string {
	return strings.NewReplacer("NAME", n.repo, "TAG", n.tag, "DIGEST", n.digest, "BLOB", n.blob, "UPLOAD", n.upload).Replace(text)
}

// hide is the inverse of in: what is the same for other names, is the same.
func (n names) hide(text string) string {
	return strings.NewReplacer(n.repo, "NAME", n.digest, "DIGEST", n.blob, "BLOB", n.upload, "UPLOAD").Replace(text)
}

// unknownNames are as good as existing ones, and nothing has them.
func unknownNames() names {
	return names{"private/app", "none", digest.FromBytes(testimage.Noise(9)).String(), digest.FromBytes(testimage.Noise(9)).String(), "01234567-89ab-4def-8123-456789abcdef"}
}

// household is a registry with a private repository and a stranger, who has one too.
type household struct {
	p        *process
	admin    registryClient
	stranger registryClient // with the token of the API
	image    testimage.Raw
	// private are the names of what is in the private repository.
	private  names
	revision string
}

func newHousehold(t *testing.T) *household {
	t.Helper()
	h := &household{p: boot(t, t.TempDir()), image: testimage.NewRaw(testimage.Noise(5 << 10))}
	h.admin = administrator(t, h.p)
	makeNamespace(t, h.p, "private")
	makeNamespace(t, h.p, "own")
	h.stranger = h.admin.as(bearerAuthorization(account(t, h.p, "own", "stranger", roles.RegistryEditor)))
	testenv.Eventually(t, "the stranger to have a repository", func() error {
		return h.stranger.push(t.Context(), atOnce, "own/app", "v1", testimage.NewRaw(testimage.Noise(1<<10)))
	})
	ctx, d := t.Context(), h.image.Digest.String()
	if err := h.admin.push(ctx, atOnce, "private/app", "v1", h.image); err != nil {
		t.Fatal(err)
	}
	subject := testimage.Describe(ocispec.MediaTypeImageManifest, h.image.Manifest)
	referring := ocispec.Manifest{MediaType: ocispec.MediaTypeImageManifest, ArtifactType: "test/x", Config: testimage.Describe(ocispec.MediaTypeImageConfig, h.image.Config), Subject: &subject}
	referring.SchemaVersion = 2
	content := testimage.Encode(referring)
	if err := h.admin.putManifest(ctx, "private/app", digest.FromBytes(content).String(), testimage.Raw{Manifest: content}); err != nil {
		t.Fatal(err)
	}
	signature := fmt.Sprintf(`{"schemaVersion":2,"name":"%s@mine","type":"AtomicImageV1","content":"c2lnbmVk"}`, d)
	if _, err := h.admin.want(ctx, 201, "PUT", "/extensions/v2/private/app/signatures/"+d, strings.NewReader(signature)); err != nil {
		t.Fatal(err)
	}
	upload, err := h.admin.begin(ctx, "private/app")
	if err == nil {
		err = h.admin.patch(ctx, upload, testimage.Noise(100), 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	h.private = names{"private/app", "v1", d, digest.FromBytes(h.image.Layers[0]).String(), filepath.Base(upload)}
	h.revision = h.streamRevision(t)
	return h
}

func (h *household) streamRevision(t *testing.T) string {
	t.Helper()
	s, err := h.p.images.ImageV1().ImageStreams("private").Get(t.Context(), "app", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return s.ResourceVersion
}

// wantUntouched checks that nobody has changed anything in the private repository.
func (h *household) wantUntouched(t *testing.T) {
	t.Helper()
	h.admin.wantImage(t, "private/app", "v1", h.image)
	if err := h.admin.wantReceived(t.Context(), h.private.in("/v2/NAME/blobs/uploads/UPLOAD"), 100); err != nil {
		t.Error(err)
	}
	reply, err := h.admin.want(t.Context(), 200, "GET", h.private.in("/extensions/v2/NAME/signatures/DIGEST"), nil)
	if err != nil || strings.Count(string(reply.body), `"schemaVersion"`) != 1 {
		t.Errorf("its signatures: %s, %v", reply.body, err)
	}
	if got := h.streamRevision(t); got != h.revision {
		t.Errorf("the private stream went from %s to %s", h.revision, got)
	}
}

// wants are the status and the code that a credential gets for a route.
func (c credential) wants(r guarded) (status int, code string) {
	switch {
	case r.needs == "nothing", r.needs == "login" && c.known, r.needs == "catalog" && c.known && !c.bound:
		return http.StatusOK, ""
	}
	return http.StatusUnauthorized, "UNAUTHORIZED"
}

// TestRegistryAmongStrangers has strangers try what there is to try.
func TestRegistryAmongStrangers(t *testing.T) {
	t.Parallel()
	h := newHousehold(t)
	t.Run("tokens", h.tokensTellNothing)
	t.Run("neighbours", h.neighboursStayApart)
	t.Run("naming", h.namingOpensNothing)
	t.Run("routes", h.routesRefuse)
}

// routesRefuse holds that every route refuses everything that is not enough for it: with a
// challenge, without a change, and in the same words whether what is asked for exists or
// not.
func (h *household) routesRefuse(t *testing.T) {
	unknown := unknownNames()
	elsewhere, nowhere := h.private, h.private
	elsewhere.repo, nowhere.repo = "private/none", "nowhere/app"
	for _, shown := range h.credentials(t) {
		for _, r := range guardedRoutes {
			if r.needs == "token" || shown.holds == r.needs {
				continue
			}
			methods := []string{r.method}
			if r.method == http.MethodGet {
				methods = append(methods, http.MethodHead)
			}
			for _, method := range methods {
				what := fmt.Sprintf("%s: %s %s", shown.what, method, r.path)
				first := h.told(t, shown, r, method, h.private)
				for _, n := range []names{unknown, elsewhere, nowhere} {
					if got := h.told(t, shown, r, method, n); got != first {
						t.Errorf("%s tells what exists: %s\nof %+v: %s", what, first, n, got)
					}
				}
			}
		}
	}
	h.wantUntouched(t)
	for _, r := range guardedRoutes { // who may is let in, which the test would not see otherwise
		reply, err := h.admin.send(t.Context(), r.method, h.private.in(r.path), strings.NewReader("x"))
		if err != nil || reply.status == 401 || reply.status >= 500 {
			t.Errorf("%s %s for who may: %d %s, %v", r.method, r.path, reply.status, reply.body, err)
		}
	}
}

// told checks that a route refuses a credential, and is all that the answer tells.
func (h *household) told(t *testing.T, shown credential, r guarded, method string, n names) string {
	t.Helper()
	reply, err := h.admin.as(shown.authorization).send(t.Context(), method, n.in(r.path), strings.NewReader("x"))
	status, code := shown.wants(r)
	if method == http.MethodHead {
		code = ""
	}
	if err != nil || reply.status != status || reply.code() != code {
		t.Errorf("%s: %s %s: %d %s, %v; want %d %s", shown.what, method, n.in(r.path), reply.status, reply.body, err, status, code)
	}
	challenge := reply.header.Get("Www-Authenticate")
	if (challenge != "") != (status == 401) || method == "GET" && r.needs == "catalog" && status == 200 && strings.TrimSpace(string(reply.body)) != shown.sees {
		t.Errorf("%s: %s %s: challenge %q, %s", shown.what, method, n.in(r.path), challenge, reply.body)
	}
	var tells []string
	for name := range reply.header {
		if name != "Date" && name != "Content-Length" { // which has the length of names in it
			tells = append(tells, name+"="+strings.Join(reply.header[name], ","))
		}
	}
	slices.Sort(tells)
	return n.hide(fmt.Sprintf("%d %s %s", reply.status, tells, reply.body))
}

// tokensTellNothing holds that the token endpoint gives strangers tokens that are good for
// nothing, and no others for a repository that is not there.
func (h *household) tokensTellNothing(t *testing.T) {
	password := strings.TrimPrefix(h.stranger.authorization, "Bearer ")
	asks := map[string]func(scope string) (registryReply, error){
		"nobody": func(scope string) (registryReply, error) {
			return h.admin.as("").send(t.Context(), "GET", "/openshift/token?scope="+scope, nil)
		},
		"a password": func(scope string) (registryReply, error) {
			return h.admin.as(basicAuthorization(password)).send(t.Context(), "GET", "/openshift/token?scope="+scope, nil)
		},
		"a form": func(scope string) (registryReply, error) {
			form := "grant_type=password&username=x&password=" + password + "&scope=" + scope
			return h.admin.as("").send(t.Context(), "POST", "/openshift/token", strings.NewReader(form), "Content-Type", "application/x-www-form-urlencoded")
		},
		"a wrong password": func(scope string) (registryReply, error) {
			return h.admin.as(basicAuthorization("x")).send(t.Context(), "GET", "/openshift/token?scope="+scope, nil)
		},
		"a wrong form": func(scope string) (registryReply, error) {
			form := "grant_type=refresh_token&refresh_token=x&scope=" + scope
			return h.admin.as("").send(t.Context(), "POST", "/openshift/token", strings.NewReader(form), "Content-Type", "application/x-www-form-urlencoded")
		},
	}
	for what, ask := range asks {
		want := "200 []"
		if strings.HasPrefix(what, "a wrong") {
			want = "401 []"
		}
		for _, name := range []string{"private/app", "private/none", "nowhere/app"} {
			reply, err := ask("repository:" + name + ":pull,push,delete")
			if got := fmt.Sprint(reply.status, grantsIn(t, reply)); err != nil || got != want {
				t.Errorf("%s for %s is told %s, %v; want %s", what, name, got, err, want)
			}
		}
	}
	h.wantUntouched(t)
}

// grantsIn are those of the token that an answer has in it.
func grantsIn(t *testing.T, reply registryReply) (grants []any) {
	t.Helper()
	var told struct{ Token string }
	if json.Unmarshal(reply.body, &told) != nil || told.Token == "" || told.Token == "anonymous" {
		return nil
	}
	claims := jwt.MapClaims{}
	if _, _, err := jwt.NewParser().ParseUnverified(told.Token, claims); err != nil {
		t.Fatal(err)
	}
	grants, _ = claims["access"].([]any)
	return grants
}
