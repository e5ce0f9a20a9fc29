package realinput_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	imagev1 "github.com/openshift/api/image/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"

	"weir.dev/weir/internal/standalone"
	"weir.dev/weir/internal/testenv"
	"weir.dev/weir/internal/testenv/upstreamregistry"
)

// integrated is the address of the registry that tags with the policy Local are pulled
// from.
const integrated = "registry.test.svc:5000"

// importBound is how long all imports of a collection may take on a busy machine.
const importBound = 5 * time.Minute

// world is a Weir, the registry that it imports from, and what stands there.
type world struct {
	*testenv.Env
	registry *upstreamregistry.Registry
	images   map[string]upstreamImage
}

func newWorld(t *testing.T, all []collection) world {
	t.Helper()
	r := upstreamregistry.Start(t)
	images, hosts := names(all)
	began := time.Now()
	seeded := seed(t, r, images)
	t.Logf("%d images of %d registries built and stored: %v", len(images), len(hosts), time.Since(began).Round(time.Millisecond))
	env := testenv.Start(t, func(o *standalone.Options) {
		o.Outbound.RegistriesConf = registriesConf(t, r, hosts)
		o.InternalHostname = integrated
	})
	return world{env, r, seeded}
}

// TestStreamsApplyUnchangedAndAreImported applies every stream as its file has it, the
// way a person would, and waits for all tags.
func TestStreamsApplyUnchangedAndAreImported(t *testing.T) {
	all := collections(t)
	w := newWorld(t, all)
	for _, c := range all {
		for name, flags := range map[string][]string{"client-side": nil, "server-side": {"--server-side"}} {
			t.Run(c.name+"/"+name, func(t *testing.T) {
				w.registry.Forget()
				namespace := w.Namespace(t, "streams")
				apply := slices.Concat([]string{"-n", namespace, "apply"}, c.arguments(), flags)
				w.wantLegacyUnknown(t, c, namespace)
				w.applyAndVerify(t, c, namespace, apply)
				w.applyAgain(t, c, namespace, apply)
			})
		}
	}
	t.Run("lists", func(t *testing.T) { w.importLists(t, all[0]) })
}

func (w world) applyAndVerify(t *testing.T, c collection, namespace string, apply []string) {
	t.Helper()
	began := time.Now()
	w.Kubectl(t).Run(t, apply...)
	applied := time.Since(began)
	streams := w.waitImported(t, c, namespace)
	imported := time.Since(began)
	images, aliases := c.tags()
	t.Logf("%d streams applied in %v; %d tags imported and %d followed %v after the start; the mirror was asked for %d manifests and %d blobs",
		len(c.streams), applied.Round(time.Millisecond), images, aliases, imported.Round(time.Millisecond),
		w.registry.Count("", "/manifests/"), w.registry.Count("", "/blobs/"))

	if n := w.registry.Count("", "/"+source); n != 0 {
		t.Errorf("%d requests went past the mirror to the registry itself", n)
	}
	if n := w.registry.Count(http.MethodPut, "") + w.registry.Count(http.MethodPost, ""); n != 0 {
		t.Errorf("%d requests wrote to the registry", n)
	}
	for i := range c.streams {
		wanted := &c.streams[i]
		t.Run(wanted.Name, func(t *testing.T) { w.verify(t, wanted, streams[wanted.Name]) })
	}
}

// wantLegacyUnknown shows why the copies of legacy files are there: were it to fail, they
// could go.
func (w world) wantLegacyUnknown(t *testing.T, c collection, namespace string) {
	t.Helper()
	for _, file := range c.legacy {
		if said := w.Kubectl(t).Refused(t, "-n", namespace, "apply", "-f", file); !strings.Contains(said, `no matches for kind "ImageStream" in version "v1"`) {
			t.Errorf("%s: kubectl said %s", file, said)
		}
	}
}

// applyAgain checks that what is there already neither changes nor is imported again.
func (w world) applyAgain(t *testing.T, c collection, namespace string, apply []string) {
	t.Helper()
	before := w.list(t, namespace)
	w.registry.Forget()
	w.Kubectl(t).Run(t, apply...)
	for name, s := range w.list(t, namespace) {
		old := before[name]
		// The file's "generation": null makes the server note when the request came, even
		// though the number stays.
		for _, each := range []*imagev1.ImageStream{old, s} {
			each.ResourceVersion, each.ManagedFields = "", nil
		}
		if diff := cmp.Diff(old, s); diff != "" {
			t.Errorf("%s: applied again, it changed (-before +after):\n%s", name, diff)
		}
	}
	if n := w.registry.Count("", ""); n != 0 {
		t.Errorf("applying %s again made %d requests to the registry", c.name, n)
	}
}

func (w world) list(t *testing.T, namespace string) map[string]*imagev1.ImageStream {
	t.Helper()
	list, err := w.Images.ImageV1().ImageStreams(namespace).List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	byName := map[string]*imagev1.ImageStream{}
	for i := range list.Items {
		byName[list.Items[i].Name] = &list.Items[i]
	}
	return byName
}

// waitImported waits until every tag of the collection was imported or failed to be.
func (w world) waitImported(t *testing.T, c collection, namespace string) map[string]*imagev1.ImageStream {
	t.Helper()
	var streams map[string]*imagev1.ImageStream
	var last error
	err := wait.PollUntilContextTimeout(t.Context(), 100*time.Millisecond, importBound, true, func(context.Context) (bool, error) {
		streams, last = w.list(t, namespace), nil
		for i := range c.streams {
			last = errors.Join(last, settled(&c.streams[i], streams[c.streams[i].Name]))
		}
		return last == nil, nil
	})
	if err != nil {
		t.Fatalf("waiting for the imports: %v: %v", err, last)
	}
	return streams
}

// settled tells which tag still waits for an answer.
func settled(wanted, s *imagev1.ImageStream) error {
	if s == nil {
		return fmt.Errorf("stream %s is not there", wanted.Name)
	}
	for _, tag := range wanted.Spec.Tags {
		status := statusTag(s, tag.Name)
		if status == nil || len(status.Items)+len(status.Conditions) == 0 {
			return fmt.Errorf("tag %s:%s has neither image nor condition", s.Name, tag.Name)
		}
	}
	return nil
}
