package registry_test

import (
	"fmt"
	"io/fs"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	digest "github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	imagev1 "github.com/openshift/api/image/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"weir.dev/weir/internal/auth/roles"
	"weir.dev/weir/internal/testenv"
	"weir.dev/weir/internal/testenv/testimage"
)

// multi is an index of two images for platforms, with everything below it.
type multi struct {
	index            ocispec.Descriptor
	manifests, blobs []digest.Digest // the index first
}

// paths are those of all its parts in a repository.
func (m multi) paths() []string {
	var paths []string
	for _, d := range m.manifests {
		paths = append(paths, "manifests/"+d.String())
	}
	for _, d := range m.blobs {
		paths = append(paths, "blobs/"+d.String())
	}
	return paths
}

// pushMulti pushes an index that no other test has.
func (w tenant) pushMulti(t *testing.T, stream, tag string) multi {
	t.Helper()
	var m multi
	var children []ocispec.Descriptor
	for _, architecture := range []string{"amd64", "arm64"} {
		image := testimage.NewRawFor(architecture, testimage.Noise(64), testimage.Noise(64))
		child := w.push(t, stream, image.Digest.String(), image)
		child.Platform = &ocispec.Platform{OS: "linux", Architecture: architecture}
		children = append(children, child)
		m.manifests = append(m.manifests, child.Digest)
		for _, content := range image.Blobs() {
			m.blobs = append(m.blobs, digest.FromBytes(content))
		}
	}
	index, content := document(t, ocispec.MediaTypeImageIndex, map[string]any{"manifests": children})
	w.want(t, http.StatusCreated, http.MethodPut, stream+"/manifests/"+tag, content, index.MediaType)
	m.index, m.manifests = index, append([]digest.Digest{index.Digest}, m.manifests...)
	return m
}

// reads reports whether all of an index can be read in a stream.
func (w tenant) reads(t *testing.T, stream string, m multi) error {
	t.Helper()
	for _, path := range m.paths() {
		d := digest.Digest(filepath.Base(path))
		if status, body := w.do(t, http.MethodGet, stream+"/"+path, nil, ""); status != http.StatusOK || digest.FromBytes(body) != d {
			return fmt.Errorf("GET %s/%s/%s: %d %.200s", w.namespace, stream, path, status, body)
		}
		if status, _ := w.do(t, http.MethodHead, stream+"/"+path, nil, ""); status != http.StatusOK {
			return fmt.Errorf("HEAD %s/%s/%s: %d", w.namespace, stream, path, status)
		}
	}
	return nil
}

// readsNone reports whether a stream has none of these parts of an index.
func (w tenant) readsNone(t *testing.T, stream string, paths []string) error {
	t.Helper()
	for _, path := range paths {
		if status, body := w.do(t, http.MethodGet, stream+"/"+path, nil, ""); status != http.StatusNotFound {
			return fmt.Errorf("GET %s/%s/%s: %d %.200s", w.namespace, stream, path, status, body)
		}
	}
	return nil
}

// mayPullFrom gives the tenant's editor the right to pull from another namespace.
func (w tenant) mayPullFrom(t *testing.T, namespace string) {
	t.Helper()
	bind(t, namespace, rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: roles.ImagePuller},
		rbacv1.Subject{Kind: rbacv1.ServiceAccountKind, Namespace: w.namespace, Name: "editor"})
}

// copyFrom has the tenant's editor copy a tag of another namespace, and waits until the
// copy is readable.
func (w tenant) copyFrom(t *testing.T, from tenant, source, to string, m multi) {
	t.Helper()
	w.mayPullFrom(t, from.namespace)
	tags := w.images().ImageStreamTags(w.namespace)
	testenv.Eventually(t, "the right to copy "+from.namespace+"/"+source, func() error {
		_, err := tags.Create(t.Context(), &imagev1.ImageStreamTag{
			ObjectMeta: metav1.ObjectMeta{Name: to},
			Tag:        &imagev1.TagReference{From: &corev1.ObjectReference{Kind: "ImageStreamTag", Namespace: from.namespace, Name: source}},
		}, metav1.CreateOptions{})
		return err
	})
	stream, _, _ := strings.Cut(to, ":")
	testenv.Eventually(t, "the copy to be readable", func() error { return w.reads(t, stream, m) })
}

// pair is a tag, and its copy in another namespace.
type pair struct {
	owner, copier tenant
	multi
}

// newPair copies app:1 of one tenant to copy:1 of another.
func newPair(t *testing.T) pair {
	t.Helper()
	p := pair{owner: newTenant(t), copier: newTenant(t)}
	p.multi = p.owner.pushMulti(t, "app", "1")
	p.copier.copyFrom(t, p.owner, "app:1", "copy:1", p.multi)
	return p
}

// wantCopy checks that the copy is readable.
func (p pair) wantCopy(t *testing.T) {
	t.Helper()
	if err := p.copier.reads(t, "copy", p.multi); err != nil {
		t.Errorf("the copy is not readable: %v", err)
	}
}

// linksOf are the files in storage of an owner of links, and of those that it released.
func linksOf(t *testing.T, uid string) (files []string) {
	t.Helper()
	fatal(t, filepath.WalkDir(filepath.Join(dataDir, "registry"), func(path string, entry fs.DirEntry, err error) error {
		if err == nil && strings.HasPrefix(entry.Name(), uid) {
			files = append(files, path)
		}
		return nil // what is removed meanwhile is none of its
	}))
	return files
}

// whileLinksGo waits until a stream that was deleted has no links any more, and checks
// something all the time, and once more afterwards.
func whileLinksGo(t *testing.T, uid string, check func() error) {
	t.Helper()
	var failure error
	testenv.Eventually(t, "the links of a deleted stream to go", func() error {
		if failure == nil {
			failure = check()
		}
		if left := linksOf(t, uid); failure == nil && len(left) > 0 {
			return fmt.Errorf("%d are left: %s", len(left), left[0])
		}
		return nil
	})
	if failure == nil {
		failure = check()
	}
	if failure != nil {
		t.Error(failure)
	}
}

func (w tenant) uid(t *testing.T, stream string) string {
	t.Helper()
	uid := string(getStream(t, repo(t, w.namespace, stream)).UID)
	if len(linksOf(t, uid)) == 0 {
		t.Fatalf("image stream %s/%s has no links in %s", w.namespace, stream, dataDir)
	}
	return uid
}

func (w tenant) deleteStream(t *testing.T, stream string) {
	t.Helper()
	fatal(t, env.Images.ImageV1().ImageStreams(w.namespace).Delete(t.Context(), stream, metav1.DeleteOptions{}))
}
