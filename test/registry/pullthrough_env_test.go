package registry_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"github.com/google/go-containerregistry/pkg/v1/types"
	digest "github.com/opencontainers/go-digest"
	imagev1 "github.com/openshift/api/image/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"weir.dev/weir/internal/auth/roles"
	"weir.dev/weir/internal/testenv"
	"weir.dev/weir/internal/testenv/testimage"
)

// through is a namespace from which everybody may pull, and nobody's client of it.
type through struct {
	*testenv.Env
	// at is host:port of the registry.
	at        string
	namespace string
	client    *http.Client
}

func newThrough(t *testing.T, e *testenv.Env) *through {
	t.Helper()
	p := &through{Env: e, namespace: e.Namespace(t, "through")}
	if e.Server != nil {
		p.at = e.Registry()
	}
	_, err := e.Kube.RbacV1().RoleBindings(p.namespace).Create(t.Context(), &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "everybody"},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: roles.ImagePuller},
		Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: "Group", Name: "system:unauthenticated"}},
	}, metav1.CreateOptions{})
	fatal(t, err)
	return p
}

// imports makes a stream with a tag for somebody else's image.
func (p *through) imports(t *testing.T, stream, tag, from string) {
	t.Helper()
	done, err := p.Images.ImageV1().ImageStreamImports(p.namespace).Create(t.Context(), &imagev1.ImageStreamImport{
		ObjectMeta: metav1.ObjectMeta{Name: stream},
		Spec: imagev1.ImageStreamImportSpec{Import: true, Images: []imagev1.ImageImportSpec{{
			From:         corev1.ObjectReference{Kind: "DockerImage", Name: from},
			To:           &corev1.LocalObjectReference{Name: tag},
			ImportPolicy: imagev1.TagImportPolicy{Insecure: true, ImportMode: imagev1.ImportModePreserveOriginal},
		}}},
	}, metav1.CreateOptions{})
	fatal(t, err)
	if s := done.Status.Images[0].Status; s.Status != metav1.StatusSuccess {
		t.Fatalf("importing %s: %+v", from, s)
	}
}

// as logs in at the registry for a stream; rights that were just granted may take a
// moment to be known.
func (p *through) as(t *testing.T, stream string, who authn.Authenticator) *http.Client {
	t.Helper()
	repo, err := name.NewRepository(p.at+"/"+p.namespace+"/"+stream, name.Insecure)
	fatal(t, err)
	var client *http.Client
	testenv.Eventually(t, "the right to pull "+repo.String(), func() error {
		pooled := http.DefaultTransport.(*http.Transport).Clone()
		t.Cleanup(pooled.CloseIdleConnections)
		rt, err := transport.NewWithContext(t.Context(), repo.Registry, who, pooled, []string{repo.Scope(transport.PullScope)})
		if err != nil {
			return err
		}
		client = &http.Client{Transport: rt}
		answer, err := client.Get(p.url(stream, "tags/list"))
		if err != nil {
			return err
		}
		defer answer.Body.Close()
		if answer.StatusCode != http.StatusOK {
			return errors.New(answer.Status)
		}
		return nil
	})
	return client
}

func (p *through) url(stream, what string) string {
	return "http://" + p.at + "/v2/" + p.namespace + "/" + stream + "/" + what
}

// anyType asks for manifests of every type.
var anyType = strings.Join([]string{string(types.OCIManifestSchema1), string(types.OCIImageIndex), string(types.DockerManifestSchema2), string(types.DockerManifestList)}, ", ")

// reply is what the registry answers; length is -1 when it does not tell.
type reply struct {
	status int
	header http.Header
	length int64
	body   []byte
}

func (r reply) String() string {
	return fmt.Sprint(r.status, " ", string(r.body[:min(len(r.body), 500)]))
}

// ask asks the registry as nobody. The error is that of an answer that broke off; the
// body is what came before.
func (p *through) ask(t *testing.T, method, stream, what string, header ...string) (reply, error) {
	t.Helper()
	if p.client == nil {
		p.client = p.as(t, stream, authn.Anonymous)
	}
	r, err := http.NewRequestWithContext(t.Context(), method, p.url(stream, what), nil)
	fatal(t, err)
	r.Header.Set("Accept", anyType)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	answer, err := p.client.Do(r)
	if err != nil {
		return reply{}, err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	return reply{status: answer.StatusCode, header: answer.Header, length: answer.ContentLength, body: body}, err
}

// get gets what has to be there, whole.
func (p *through) get(t *testing.T, stream, what string) []byte {
	t.Helper()
	answer, err := p.ask(t, http.MethodGet, stream, what)
	if err != nil || answer.status != http.StatusOK || int64(len(answer.body)) != answer.length {
		t.Fatalf("GET %s of %s: %d bytes, %v: %d %.300q", what, stream, len(answer.body), err, answer.status, answer.body)
	}
	return answer.body
}

// wantAnswer checks the status and the code of an error, and that its text names a host.
func wantAnswer(t *testing.T, answer reply, err error, status int, code, host string) {
	t.Helper()
	var told struct {
		Errors []struct{ Code, Message string }
	}
	if err != nil || answer.status != status || json.Unmarshal(answer.body, &told) != nil || len(told.Errors) != 1 || told.Errors[0].Code != code {
		t.Fatalf("%v, %s; want %d %s", err, answer, status, code)
	}
	if !strings.Contains(told.Errors[0].Message, host) {
		t.Errorf("%q does not name %s", told.Errors[0].Message, host)
	}
}

// pullAll pulls an image or a list with all that is below it, by digest, and compares
// everything with its digest.
func (p *through) pullAll(t *testing.T, stream, reference string) (blobs []digest.Digest) {
	t.Helper()
	content := p.get(t, stream, "manifests/"+reference)
	if d, err := digest.Parse(reference); err == nil && digest.FromBytes(content) != d {
		t.Fatalf("%s is answered with other content", reference)
	}
	var m struct {
		Config            *v1.Descriptor
		Layers, Manifests []v1.Descriptor
	}
	fatal(t, json.Unmarshal(content, &m))
	for _, child := range m.Manifests {
		blobs = append(blobs, p.pullAll(t, stream, child.Digest.String())...)
	}
	if m.Config != nil {
		m.Layers = append(m.Layers, *m.Config)
	}
	for _, layer := range m.Layers {
		d := digest.Digest(layer.Digest.String())
		if got := p.get(t, stream, "blobs/"+d.String()); digest.FromBytes(got) != d {
			t.Errorf("%s is answered with other content", d)
		}
		blobs = append(blobs, d)
	}
	return blobs
}

// oneLayer is an image with one layer of random bytes.
func oneLayer(t *testing.T, size int) (image v1.Image, layer digest.Digest, content []byte) {
	t.Helper()
	content = testimage.Noise(size)
	return testimage.Of(t, content), digest.FromBytes(content), content
}

// send writes a part of a blob under a header that promises all of it from its offset
// on, and breaks the connection where the part ends early.
func send(w http.ResponseWriter, r *http.Request, content []byte, stop int) {
	var from int
	_, _ = fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-", &from)
	w.Header().Set("Content-Length", fmt.Sprint(len(content)-from))
	if from > 0 {
		w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, len(content)-1, len(content)))
		w.WriteHeader(http.StatusPartialContent)
	}
	if from < stop {
		_, _ = w.Write(content[from:stop])
	}
	if stop < len(content) {
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	}
}
