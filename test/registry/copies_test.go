package registry_test

import (
	"fmt"
	"net/http"
	"testing"

	imagev1 "github.com/openshift/api/image/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"weir.dev/weir/internal/stream"
	"weir.dev/weir/internal/testenv"
)

func TestCopiesTakeTheRightToPull(t *testing.T) {
	owner, stranger := newTenant(t), newTenant(t)
	m := owner.pushMulti(t, "app", "1")
	_, err := stranger.images().ImageStreamTags(stranger.namespace).Create(t.Context(), &imagev1.ImageStreamTag{
		ObjectMeta: metav1.ObjectMeta{Name: "copy:1"},
		Tag:        &imagev1.TagReference{From: &corev1.ObjectReference{Kind: "ImageStreamTag", Namespace: owner.namespace, Name: "app:1"}},
	}, metav1.CreateOptions{})
	if err == nil {
		t.Error("a stranger copied a tag")
	}
	fatal(t, stranger.readsNone(t, "copy", m.paths()))
}

func TestCopiesOutliveTheirTag(t *testing.T) {
	p := newPair(t)
	fatal(t, env.Images.ImageV1().ImageStreamTags(p.owner.namespace).Delete(t.Context(), "app:1", metav1.DeleteOptions{}))
	p.wantCopy(t)
	testenv.Eventually(t, "the tag to be gone", func() error { return p.owner.readsNone(t, "app", []string{"manifests/1"}) })
	p.wantCopy(t)
}

// TestCopiesOutliveTheirParts deletes everything that the source has, one after the other,
// by the registry's own DELETE.
func TestCopiesOutliveTheirParts(t *testing.T) {
	for name, kinds := range map[string][]string{"manifests first": {"manifests/", "blobs/"}, "blobs first": {"blobs/", "manifests/"}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPair(t)
			uid := p.owner.uid(t, "app")
			for _, kind := range kinds {
				digests := p.manifests
				if kind == "blobs/" {
					digests = p.blobs
				}
				for _, d := range digests {
					p.owner.want(t, http.StatusAccepted, http.MethodDelete, "app/"+kind+d.String(), nil, "")
					p.owner.want(t, http.StatusNotFound, http.MethodGet, "app/"+kind+d.String(), nil, "")
					p.wantCopy(t)
				}
			}
			fatal(t, p.owner.readsNone(t, "app", p.paths()))
			p.owner.deleteStream(t, "app")
			whileLinksGo(t, uid, func() error { return p.copier.reads(t, "copy", p.multi) })
		})
	}
}

// TestCopiesOutliveTheirStream: at every moment while the links of the source go. The next
// stream of its name has nothing of it, meanwhile and afterwards.
func TestCopiesOutliveTheirStream(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	uid := p.owner.uid(t, "app")
	p.owner.deleteStream(t, "app")
	other := p.owner.pushPrivate(t, "app") // the next owner of the name
	whileLinksGo(t, uid, func() error {
		if err := p.copier.reads(t, "copy", p.multi); err != nil {
			return err
		}
		return p.owner.readsNone(t, "app", p.paths())
	})
	fatal(t, p.owner.readsNone(t, "app", p.paths()))
	fatal(t, p.copier.readsNone(t, "copy", []string{"manifests/" + other.manifest.Digest.String(), "blobs/" + other.layer.Digest.String()}))
	p.owner.want(t, http.StatusOK, http.MethodGet, "app/manifests/"+other.manifest.Digest.String(), nil, "")
	p.owner.want(t, http.StatusOK, http.MethodGet, "app/blobs/"+other.layer.Digest.String(), nil, "")
}

// TestCopiesOutliveTheirNamespace: the next namespace of the name has nothing of it.
func TestCopiesOutliveTheirNamespace(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	uid := p.owner.uid(t, "app")
	namespaces := env.Kube.CoreV1().Namespaces()
	former, err := namespaces.Get(t.Context(), p.owner.namespace, metav1.GetOptions{})
	fatal(t, err)
	fatal(t, namespaces.Delete(t.Context(), p.owner.namespace, metav1.DeleteOptions{}))
	next := shop{p.owner.namespace}
	testenv.Eventually(t, "the namespace to be free", func() error {
		p.wantCopy(t)
		_, err := namespaces.Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: next.namespace}}, metav1.CreateOptions{})
		return err
	})
	owner := tenant{next.namespace, basic(next.account(t, "editor", "registry-editor"))}
	testenv.Eventually(t, "the next owner's rights", func() error {
		if status, body := owner.do(t, http.MethodPost, "app/blobs/uploads/", nil, ""); status != http.StatusAccepted {
			return fmt.Errorf("%d %.200s", status, body)
		}
		return nil
	})
	owner.pushPrivate(t, "app")
	whileLinksGo(t, uid, func() error {
		if err := p.copier.reads(t, "copy", p.multi); err != nil {
			return err
		}
		return owner.readsNone(t, "app", p.paths())
	})
	whileLinksGo(t, string(former.UID), func() error { return p.copier.reads(t, "copy", p.multi) })
}

// TestCopiesOutliveAChain: a copy of a copy has what it needs whichever stream of the chain
// ends first.
func TestCopiesOutliveAChain(t *testing.T) {
	for name, order := range map[string][]string{"the middle first": {"middle", "app"}, "the source first": {"app", "middle"}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a, b, c := newTenant(t), newTenant(t), newTenant(t)
			m := a.pushMulti(t, "app", "1")
			b.copyFrom(t, a, "app:1", "middle:1", m)
			c.copyFrom(t, b, "middle:1", "last:1", m)
			owners := map[string]tenant{"app": a, "middle": b}
			source := a.uid(t, "app")
			for _, name := range order {
				uid := string(getStream(t, repo(t, owners[name].namespace, name)).UID)
				owners[name].deleteStream(t, name)
				whileLinksGo(t, uid, func() error { return c.reads(t, "last", m) })
				if name == "middle" && order[0] == name && len(linksOf(t, source)) == 0 {
					t.Error("the source lost its links")
				}
			}
			fatal(t, c.reads(t, "last", m))
			for name, owner := range owners {
				fatal(t, owner.readsNone(t, name, m.paths()))
			}
		})
	}
}

// TestCopiesEnd: a copy whose tag is gone is readable no more.
func TestCopiesEnd(t *testing.T) {
	p := newPair(t)
	fatal(t, env.Images.ImageV1().ImageStreamTags(p.copier.namespace).Delete(t.Context(), "copy:1", metav1.DeleteOptions{}))
	testenv.Eventually(t, "the copy to be gone", func() error { return p.copier.readsNone(t, "copy", p.paths()) })
	fatal(t, p.owner.reads(t, "app", p.multi))
	if s := getStream(t, repo(t, p.copier.namespace, "copy")); len(stream.CopySources(s)) > 0 {
		t.Errorf("annotations %v", s.Annotations)
	}
	if _, err := env.Images.ImageV1().ImageStreamTags(p.copier.namespace).Get(t.Context(), "copy:1", metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("the tag: %v", err)
	}
}
