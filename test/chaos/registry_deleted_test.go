package chaos_test

import (
	"fmt"
	"testing"
	"time"

	digest "github.com/opencontainers/go-digest"
	imagev1 "github.com/openshift/api/image/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"weir.dev/weir/internal/auth/roles"
	"weir.dev/weir/internal/testenv"
	"weir.dev/weir/internal/testenv/testimage"
)

const (
	// copiesNamespace has a copy of every tag of the streams that are deleted.
	copiesNamespace = "copies"
	// formerTags are the tags of each stream that is deleted.
	formerTags = 4
	// releaseKills is how often the server is killed while it removes links.
	releaseKills = 3
)

// former is a stream that is deleted, whose name another tenant then gets.
type former struct {
	ns string // its stream is "app", its copy copiesNamespace/ns
	// whole is true if the namespace is deleted, not only the stream; off if the registry
	// does not run at the time, else the server is killed when that was answered.
	whole, off bool

	trees    []tree
	uploaded []byte // a blob that no manifest names; it belongs to the namespace
	// stream, namespace and copied are UIDs, the last one of the stream with the copies.
	stream, namespace, copied string
	// tenant is the next owner's authorization.
	tenant string
}

func (f *former) repo() string { return f.ns + "/app" }

func (f *former) copyRepo() string { return copiesNamespace + "/" + f.ns }

// gone are the parts that are of the former owner alone.
func (f *former) gone() (all parts) {
	for _, tr := range f.trees {
		all = all.and(tr.parts())
	}
	if f.whole {
		all.blobs = append(all.blobs, digest.FromBytes(f.uploaded))
	}
	return all
}

// deletions is a server whose streams are deleted behind the registry's back.
type deletions struct {
	dataDir string
	p       *process
	c       registryClient
	formers []*former
	outside *privateImport
}

// TestRegistryAfterDeletions deletes streams and namespaces while the registry does not
// run, or kills the server when a deletion was answered, and then again and again while it
// removes the links. All the time copies of their tags can be read whole, and the next
// tenant with the same names reads nothing of them.
func TestRegistryAfterDeletions(t *testing.T) {
	t.Parallel()
	d := &deletions{dataDir: t.TempDir(), formers: []*former{
		{ns: "former-a", off: true}, {ns: "former-b", off: true, whole: true}, {ns: "former-c"}, {ns: "former-d", whole: true},
	}}
	d.fill(t)
	d.deleteAndKill(t)
	d.deleteWithoutRegistry(t)
	begun := d.progress(t)
	for round := range releaseKills {
		d.killReleasing(t, begun+d.work()*(round+1)/(releaseKills+1), begun+d.work())
	}
	d.wantReleased(t)
}

// fill has all streams, with copies.
func (d *deletions) fill(t *testing.T) {
	t.Helper()
	d.p = boot(t, d.dataDir)
	d.c = administrator(t, d.p)
	makeNamespace(t, d.p, copiesNamespace)
	for _, f := range d.formers {
		makeNamespace(t, d.p, f.ns)
		f.uploaded = testimage.Noise(1 << 10)
		if err := d.c.upload(t.Context(), atOnce, f.repo(), f.uploaded); err != nil {
			t.Fatal(err)
		}
		copied := &imagev1.ImageStream{ObjectMeta: metav1.ObjectMeta{Name: f.ns}}
		for n := range formerTags {
			f.trees = append(f.trees, newTree(2))
			tag := fmt.Sprint("v", n)
			if err := d.c.pushMissing(t.Context(), f.repo(), tag, f.trees[n]); err != nil {
				t.Fatal(err)
			}
			copied.Spec.Tags = append(copied.Spec.Tags, tagOf(tag, f.ns, "app:"+tag))
		}
		copied, err := d.p.images.ImageV1().ImageStreams(copiesNamespace).Create(t.Context(), copied, metav1.CreateOptions{})
		if err != nil {
			t.Fatal(err)
		}
		f.copied = string(copied.UID)
		f.stream, f.namespace = uidsOf(t, d.p, f.ns, "app")
		d.wantCopies(t, f)
	}
	d.outside = importPrivately(t, d.p, d.c, "former-b", "keeper")
}

// tagOf is a spec tag that follows another stream's tag.
func tagOf(name, ns, from string) imagev1.TagReference {
	return imagev1.TagReference{Name: name, From: &corev1.ObjectReference{Kind: "ImageStreamTag", Namespace: ns, Name: from}}
}

// uidsOf are the UIDs of a stream and its namespace.
func uidsOf(t *testing.T, p *process, ns, name string) (stream, namespace string) {
	t.Helper()
	s, err := p.images.ImageV1().ImageStreams(ns).Get(t.Context(), name, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	n, err := p.kube.CoreV1().Namespaces().Get(t.Context(), ns, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return string(s.UID), string(n.UID)
}

func (d *deletions) wantCopies(t *testing.T, f *former) {
	t.Helper()
	for n, tr := range f.trees {
		d.c.wantTree(t, f.copyRepo(), fmt.Sprint("v", n), tr)
	}
}

// delete deletes what a former stream loses.
func (d *deletions) delete(t *testing.T, f *former) {
	t.Helper()
	var err error
	if f.whole {
		err = d.p.kube.CoreV1().Namespaces().Delete(t.Context(), f.ns, metav1.DeleteOptions{})
	} else {
		err = d.p.images.ImageV1().ImageStreams(f.ns).Delete(t.Context(), "app", metav1.DeleteOptions{})
	}
	if err != nil {
		t.Fatal(err)
	}
}

func (d *deletions) deleteAndKill(t *testing.T) {
	t.Helper()
	for n := len(d.formers) - 1; n >= 0; n-- { // a namespace takes a while to go
		if f := d.formers[n]; !f.off {
			d.delete(t, f)
		}
	}
	d.p.kill()
}

// deleteWithoutRegistry deletes the rest, and gives all names to the next tenants.
func (d *deletions) deleteWithoutRegistry(t *testing.T) {
	t.Helper()
	d.p = boot(t, d.dataDir, "--registry=false")
	for _, f := range d.formers {
		if f.off {
			d.delete(t, f)
		}
	}
	for _, f := range d.formers {
		if f.whole {
			waitNoNamespace(t, d.p, f.ns)
			makeNamespace(t, d.p, f.ns)
		}
		_, err := d.p.images.ImageV1().ImageStreams(f.ns).Create(t.Context(), &imagev1.ImageStream{ObjectMeta: metav1.ObjectMeta{Name: "app"}}, metav1.CreateOptions{})
		if err != nil {
			t.Fatalf("recreating the stream of %s: %v", f.ns, err)
		}
		f.tenant = bearerAuthorization(account(t, d.p, f.ns, "tenant", roles.RegistryEditor))
		if got := linksOf(t, d.dataDir, f.repo(), f.stream); got == 0 {
			t.Errorf("without a registry the links of %s are gone", f.repo())
		}
	}
	d.p.kill()
}

// waitNoNamespace waits until a namespace that is being deleted is gone.
func waitNoNamespace(t *testing.T, p *process, name string) {
	t.Helper()
	testenv.Eventually(t, "namespace "+name+" to go", func() error {
		_, err := p.kube.CoreV1().Namespaces().Get(t.Context(), name, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			return nil
		}
		return fmt.Errorf("it is there: %w", err)
	})
}

// wantReleased has a server finish.
func (d *deletions) wantReleased(t *testing.T) {
	t.Helper()
	d.p = boot(t, d.dataDir)
	d.c.host = d.p.registry(t)
	for range 2 { // while the links are being removed, and then
		for _, f := range d.formers {
			d.wantCopies(t, f)
			if err := d.c.as(f.tenant).readNone(t.Context(), f.repo(), f.gone()); err != nil {
				t.Errorf("the next owner of %s: %v", f.repo(), err)
			}
		}
		d.outside.wantApart(t, d.p, d.c)
		for _, f := range d.formers {
			waitReleased(t, d.dataDir, f.repo(), f.stream)
			if f.whole {
				waitReleased(t, d.dataDir, f.repo(), f.namespace)
			}
		}
	}
	for _, f := range d.formers {
		tenant, tr := d.c.as(f.tenant), newTree(1)
		if err := tenant.pushMissing(t.Context(), f.repo(), "own", tr); err != nil {
			t.Errorf("the next owner of %s pushes: %v", f.repo(), err)
		}
		tenant.wantTree(t, f.repo(), "own", tr)
	}
	d.p.terminate(t, 20*time.Second)
}
