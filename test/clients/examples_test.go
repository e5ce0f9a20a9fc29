package clients_test

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	imagev1 "github.com/openshift/api/image/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"weir.dev/weir/internal/standalone"
	"weir.dev/weir/internal/testenv"
	"weir.dev/weir/internal/testenv/upstreamregistry"
)

// exampleRegistry is what the examples call the registry of whoever runs them.
const exampleRegistry = "localhost:5001"

// examplesDir holds the examples; copies of them name the test's registry.
const examplesDir = "../../examples"

// gallery is the Weir that examples are tried on, set up by those of them that are
// configuration.
type gallery struct {
	*testenv.Env
	dir      string
	registry *upstreamregistry.Registry
	lists    map[string]string // digests of what is in the registry, by repository:tag
}

// TestExamples runs every file of examples/ the way it says, and looks at what came of it.
func TestExamples(t *testing.T) {
	g := newGallery(t)
	manifests := map[string]func(*testing.T, gallery){
		"anonymous-pull.yaml":    tryAnonymousPull,
		"imagestream.yaml":       tryStream,
		"imagestreamimport.yaml": tryImport,
		"imagestreamtag.yaml":    tryTag,
		"limits.yaml":            tryLimits,
		"private-registry.yaml":  tryPrivateRegistry,
		"pull-access.yaml":       tryPullAccess,
		"streams.yaml":           tryStreams,
	}
	tried := append(slices.Collect(maps.Keys(manifests)), "config.yaml", "registries.conf", "weir.service")
	if diff := cmp.Diff(slices.Sorted(slices.Values(tried)), g.files(t)); diff != "" {
		t.Errorf("examples (-tried +there):\n%s", diff)
	}
	for name, try := range manifests {
		t.Run(name, func(t *testing.T) { try(t, g) })
	}
}

// newGallery starts a Weir with the examples that are configuration, over a registry
// that has what the others name.
func newGallery(t *testing.T) gallery {
	t.Helper()
	r := upstreamregistry.Start(t)
	g := gallery{registry: r, dir: t.TempDir(), lists: map[string]string{}}
	for i, name := range []string{
		"shop/web:1", "shop/web:latest", "private/app:1",
		"mirror/runtime-9/lang:1.0", "mirror/runtime-9/lang:1.1", "mirror/data-9/store:12", "mirror/data-9/store:13",
	} {
		of := upstreamregistry.Image{Format: upstreamregistry.Format(i % 2), Labels: map[string]string{"name": name}}
		g.lists[name] = r.Put(t, of.List(t, "linux/amd64", "linux/arm64"), name)
	}
	r.On("/private/", demandLogin("importer", "open-sesame"))
	for _, name := range g.files(t) {
		content, err := os.ReadFile(filepath.Join(examplesDir, name))
		if err != nil {
			t.Fatal(err)
		}
		content = []byte(strings.ReplaceAll(string(content), exampleRegistry, r.Host()))
		if err := os.WriteFile(filepath.Join(g.dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	g.Env = testenv.Start(t, func(o *standalone.Options) {
		o.ConfigFile = filepath.Join(g.dir, "config.yaml")
		o.Outbound.RegistriesConf = filepath.Join(g.dir, "registries.conf")
		o.InternalHostname = integrated
	})
	return g
}

func (g gallery) files(t *testing.T) []string {
	t.Helper()
	entries, err := os.ReadDir(examplesDir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	return names
}

// demandLogin refuses who does not show a user name and a password.
func demandLogin(user, password string) upstreamregistry.Hook {
	return func(w http.ResponseWriter, r *http.Request) bool {
		if u, p, ok := r.BasicAuth(); ok && u == user && p == password {
			return false
		}
		w.Header().Set("WWW-Authenticate", `Basic realm="examples"`)
		w.WriteHeader(http.StatusUnauthorized)
		return true
	}
}

// use runs kubectl with an example in a new namespace.
func (g gallery) use(t *testing.T, command, file string, flags ...string) (k testenv.Kubectl, namespace, said string) {
	t.Helper()
	namespace = g.Namespace(t, "examples")
	k = g.Kubectl(t).With("-n", namespace)
	return k, namespace, k.Run(t, append([]string{command, "-f", filepath.Join(g.dir, file)}, flags...)...)
}

// wantHeads waits until tags of a stream point to images of the registry.
func (g gallery) wantHeads(t *testing.T, namespace, name string, want map[string]string) *imagev1.ImageStream {
	t.Helper()
	var s *imagev1.ImageStream
	testenv.Eventually(t, "the imports into "+name, func() (err error) {
		if s, err = g.Images.ImageV1().ImageStreams(namespace).Get(t.Context(), name, metav1.GetOptions{}); err != nil {
			return err
		}
		got := map[string]string{}
		for _, tag := range s.Status.Tags {
			if len(tag.Items) > 0 {
				got[tag.Tag] = tag.Items[0].Image
			}
			if len(tag.Conditions) > 0 {
				err = errors.Join(err, fmt.Errorf("tag %s: %s", tag.Tag, tag.Conditions[0].Message))
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			err = errors.Join(err, fmt.Errorf("heads (-want +got):\n%s", diff))
		}
		return err
	})
	return s
}

func tryStream(t *testing.T, g gallery) {
	_, namespace, said := g.use(t, "apply", "imagestream.yaml")
	wantSaid(t, said, "imagestream.image.openshift.io/web created")
	one := g.lists["shop/web:1"]
	s := g.wantHeads(t, namespace, "web", map[string]string{"1": one, "stable": one, "scheduled": g.lists["shop/web:latest"]})
	for _, tag := range s.Spec.Tags { // what config.yaml makes of tags that name no mode
		if tag.ImportPolicy.ImportMode != imagev1.ImportModePreserveOriginal {
			t.Errorf("tag %s has import mode %q", tag.Name, tag.ImportPolicy.ImportMode)
		}
	}
}

func tryImport(t *testing.T, g gallery) {
	k, _, said := g.use(t, "create", "imagestreamimport.yaml", "-o", "jsonpath={.status.images[0].status.status} {.status.images[0].image.metadata.name}")
	wantSaid(t, said, "Success "+g.lists["shop/web:1"])
	wantSaid(t, k.Run(t, "get", "is", "-o", "name"))
}

func tryTag(t *testing.T, g gallery) {
	k, namespace, said := g.use(t, "create", "imagestreamtag.yaml")
	wantSaid(t, said, "imagestreamtag.image.openshift.io/tools:stable created")
	g.wantHeads(t, namespace, "tools", map[string]string{"stable": g.lists["shop/web:1"]})
	wantSaid(t, k.Run(t, "get", "istag", "tools:stable", "-o", "jsonpath={.image.dockerImageReference} {.metadata.annotations.description}"),
		integrated+"/"+namespace+"/tools@"+g.lists["shop/web:1"]+" What we build with")
}

func tryLimits(t *testing.T, g gallery) {
	k, _, said := g.use(t, "apply", "limits.yaml")
	wantSaid(t, said, "resourcequota/streams created", "limitrange/stream-size created")
	three := strings.Replace(app, "spec:\n  tags:", `spec:
  tags:
  - {name: two, reference: true, from: {kind: DockerImage, name: "registry.example.com/app:2"}}
  - {name: three, reference: true, from: {kind: DockerImage, name: "registry.example.com/app:3"}}`, 1)
	testenv.Eventually(t, "the limits to hold", func() error {
		_, said, err := k.Try(three, "create", "--dry-run=server", "-f", "-")
		if err == nil || !strings.Contains(said, "requested usage of openshift.io/image-tags exceeds the maximum limit per openshift.io/ImageStream (3 > 2)") {
			return fmt.Errorf("a stream of three tags: %v", err)
		}
		return nil
	})
	eventually(t, "the quota to count", k, "wait", "quota/streams", "--timeout=2s", `--for=jsonpath={.status.used.openshift\.io/imagestreams}=0`)
	k.Feed(t, app, "create", "-f", "-")
	_, said, err := k.Try(strings.Replace(app, "name: app", "name: second", 1), "create", "-f", "-")
	if err == nil {
		t.Error("a second stream was made")
	}
	wantPart(t, said, "exceeded quota: streams")
}

func tryPrivateRegistry(t *testing.T, g gallery) {
	_, namespace, said := g.use(t, "apply", "private-registry.yaml")
	wantSaid(t, said, "secret/private created", "imagestream.image.openshift.io/private created")
	g.wantHeads(t, namespace, "private", map[string]string{"1": g.lists["private/app:1"]})
}

func tryPullAccess(t *testing.T, g gallery) {
	k, _, said := g.use(t, "apply", "pull-access.yaml")
	wantSaid(t, said, "rolebinding.rbac.authorization.k8s.io/pull-from-other created")
	ask := func(namespace string) []string {
		return []string{"auth", "can-i", "get", "imagestreams.image.openshift.io", "--subresource=layers",
			"--as=system:serviceaccount:" + namespace + ":builder", "--as-group=system:serviceaccounts:" + namespace}
	}
	eventually(t, "the right to pull", k, ask("other")...)
	k.Refused(t, ask("another")...)
}

func tryAnonymousPull(t *testing.T, g gallery) {
	_, namespace, said := g.use(t, "apply", "anonymous-pull.yaml")
	wantSaid(t, said, "rolebinding.rbac.authorization.k8s.io/anybody-pulls created")
	may := func(verb string) bool {
		review, err := g.Kube.AuthorizationV1().SubjectAccessReviews().Create(t.Context(), &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
			User: "system:anonymous", Groups: []string{"system:unauthenticated"},
			ResourceAttributes: &authorizationv1.ResourceAttributes{Group: imagev1.GroupName, Resource: "imagestreams", Subresource: "layers", Namespace: namespace, Verb: verb},
		}}, metav1.CreateOptions{})
		return err == nil && review.Status.Allowed
	}
	testenv.Eventually(t, "the right to pull", func() error {
		if !may("get") {
			return errors.New("nobody may pull")
		}
		return nil
	})
	if may("update") {
		t.Error("anybody may push")
	}
}

func tryStreams(t *testing.T, g gallery) {
	k, namespace, said := g.use(t, "apply", "streams.yaml")
	wantSaid(t, said, "imagestream.image.openshift.io/lang created", "imagestream.image.openshift.io/store created")
	one, two := g.lists["mirror/runtime-9/lang:1.0"], g.lists["mirror/runtime-9/lang:1.1"]
	g.wantHeads(t, namespace, "lang", map[string]string{"1.0-ubi9": one, "1.1-ubi9": two, "latest": two})
	twelve, thirteen := g.lists["mirror/data-9/store:12"], g.lists["mirror/data-9/store:13"]
	g.wantHeads(t, namespace, "store", map[string]string{"12-el9": twelve, "stable": twelve, "scheduled-upgrade": thirteen})
	wantSaid(t, k.Run(t, "get", "istag", "lang:latest", "store:stable", "-o", "jsonpath={.items[*].image.dockerImageReference}"),
		integrated+"/"+namespace+"/lang@"+two+" registry.example.com/data-9/store@"+twelve)
}
