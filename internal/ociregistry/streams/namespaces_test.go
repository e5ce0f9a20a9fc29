package streams

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/metadata"
	metadatafake "k8s.io/client-go/metadata/fake"
	clientgotesting "k8s.io/client-go/testing"
	"k8s.io/client-go/tools/cache"
)

func namespaceCalled(name string, uid types.UID) *metav1.PartialObjectMetadata {
	return &metav1.PartialObjectMetadata{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Namespace"},
		ObjectMeta: metav1.ObjectMeta{
			Name: name, UID: uid, CreationTimestamp: at(3), Labels: map[string]string{"a": "b"}, Annotations: map[string]string{"c": "d"},
			ManagedFields: []metav1.ManagedFieldsEntry{{Manager: "kubectl"}},
		},
	}
}

// listed is a client whose watch does not begin with what is there.
type listed struct{ metadata.Getter }

// IsWatchListSemanticsUnSupported is how reflectors ask for that.
func (listed) IsWatchListSemanticsUnSupported() bool { return true }

// fakeNamespaces are namespaces that change, and the API that has them.
type fakeNamespaces struct {
	*namespaces
	api     *metadatafake.FakeMetadataClient
	writes  metadatafake.MetadataClient
	mu      sync.Mutex
	gone    []string
	changed chan struct{}
}

func newFakeNamespaces(t *testing.T, objects ...runtime.Object) *fakeNamespaces {
	t.Helper()
	scheme := metadatafake.NewTestScheme()
	fatal(t, metav1.AddMetaToScheme(scheme))
	f := &fakeNamespaces{api: metadatafake.NewSimpleMetadataClient(scheme, objects...), changed: make(chan struct{}, 100)}
	resource := f.api.Resource(namespacesResource)
	f.writes = resource.(metadatafake.MetadataClient)
	n, err := newNamespaces(&api{namespaces: listed{resource}}, func(name string) {
		f.mu.Lock()
		f.gone = append(f.gone, name)
		f.mu.Unlock()
		f.changed <- struct{}{}
	})
	fatal(t, err)
	f.namespaces = n
	return f
}

// run has the watch run until the test ends, and waits for all namespaces to be read.
func (f *fakeNamespaces) run(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { f.informer.RunWithContext(ctx) })
	t.Cleanup(func() { cancel(); running.Wait() })
	if !cache.WaitForCacheSync(t.Context().Done(), f.informer.HasSynced) {
		t.Fatal("the namespaces were not read")
	}
}

// requests are how many of a kind were made, and forgets them.
func (f *fakeNamespaces) requests(verb string) int {
	n := 0
	for _, action := range f.api.Actions() {
		if action.GetVerb() == verb {
			n++
		}
	}
	f.api.ClearActions()
	return n
}

func (f *fakeNamespaces) want(t *testing.T, name string, want types.UID) {
	t.Helper()
	m, err := f.get(t.Context(), name)
	fatal(t, err)
	var got types.UID
	if m != nil {
		got = m.UID
	}
	if got != want {
		t.Errorf("namespace %s has UID %q, want %q", name, got, want)
	}
}

func TestNamespacesAreKept(t *testing.T) {
	f := newFakeNamespaces(t, namespaceCalled("a", "a"), namespaceCalled("b", "b"))
	f.want(t, "a", "a") // before the watch runs
	if n := f.requests("get"); n != 1 {
		t.Errorf("%d requests, want one", n)
	}
	f.run(t)
	f.requests("")
	f.want(t, "a", "a")
	f.want(t, "b", "b")
	if n := f.requests("get"); n != 0 {
		t.Errorf("%d requests for what is known", n)
	}
	m, err := f.get(t.Context(), "a")
	fatal(t, err)
	if diff := cmp.Diff(metav1.ObjectMeta{Name: "a", UID: "a", CreationTimestamp: at(3)}, m.ObjectMeta); diff != "" {
		t.Errorf("kept (-want +got):\n%s", diff)
	}
	f.want(t, "none", "")
	if n := f.requests("get"); n != 1 {
		t.Errorf("%d requests for what is not known, want one", n)
	}
}

func TestNamespacesThatEnd(t *testing.T) {
	f := newFakeNamespaces(t, namespaceCalled("a", "a"), namespaceCalled("b", "b"))
	f.run(t)
	fatal(t, f.writes.Delete(t.Context(), "a", metav1.DeleteOptions{}))
	select {
	case <-f.changed:
	case <-time.After(30 * time.Second):
		t.Fatal("the end of a namespace was not noticed")
	}
	f.want(t, "a", "")
	if f.mu.Lock(); !slices.Equal(f.gone, []string{"a"}) {
		t.Errorf("gone: %q", f.gone)
	}
	f.mu.Unlock()
	_, err := f.writes.CreateFake(namespaceCalled("a", "again"), metav1.CreateOptions{})
	fatal(t, err)
	f.want(t, "a", "again") // by the watch or, before it, by the API
	f.want(t, "b", "b")
}

func TestNamespacesOfAnAPIInTrouble(t *testing.T) {
	f := newFakeNamespaces(t, namespaceCalled("a", "a"))
	f.run(t)
	broken := errors.New("broken")
	f.api.PrependReactor("get", "*", func(clientgotesting.Action) (bool, runtime.Object, error) { return true, nil, broken })
	f.want(t, "a", "a")
	if _, err := f.get(t.Context(), "b"); !errors.Is(err, broken) {
		t.Errorf("got %v: that a namespace is not there has to be certain", err)
	}
	if _, err := f.read(t.Context(), "a"); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
}
