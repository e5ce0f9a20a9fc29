package chaos_test

import (
	"bytes"
	"fmt"
	"testing"

	imagev1 "github.com/openshift/api/image/v1"
	imagescheme "github.com/openshift/client-go/image/clientset/versioned/scheme"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/serializer/protobuf"

	"weir.dev/weir/internal/stream"
	"weir.dev/weir/internal/testenv/testimage"
)

const (
	earlierNamespace = "earlier"
	// earlierCopies has streams that an earlier version copied tags to.
	earlierCopies = "earlier-copies"
)

// earlier is what an earlier version stored: links without owners, and streams that do not
// say where their tags were copied from.
type earlier struct {
	own   tree
	plain testimage.Raw
}

// fillEarlier has it as this version stores it.
func fillEarlier(t *testing.T, p *process, c registryClient) *earlier {
	t.Helper()
	e := &earlier{own: newTree(2), plain: testimage.NewRaw(testimage.Noise(1 << 10))}
	makeNamespace(t, p, earlierNamespace)
	makeNamespace(t, p, earlierCopies)
	if err := c.pushMissing(t.Context(), earlierNamespace+"/app", "v1", e.own); err != nil {
		t.Fatal(err)
	}
	if err := c.push(t.Context(), atOnce, earlierNamespace+"/charts/deep", "v1", e.plain); err != nil {
		t.Fatal(err)
	}
	_, err := p.images.ImageV1().ImageStreams(earlierCopies).Create(t.Context(), &imagev1.ImageStream{
		ObjectMeta: metav1.ObjectMeta{Name: "copy"}, Spec: imagev1.ImageStreamSpec{Tags: []imagev1.TagReference{tagOf("v1", earlierNamespace, "app:v1")}},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// rewrite has storage and etcd be as an earlier version left them.
func (e *earlier) rewrite(t *testing.T, dataDir string, etcd *etcdProcess) {
	t.Helper()
	if links, least := takeBack(t, dataDir, earlierNamespace), e.own.parts().count()+partsOf(e.plain).count(); links < least {
		t.Fatalf("there are %d links, want %d", links, least)
	}
	client := etcd.client(t)
	key := "/registry/image.openshift.io/imagestreams/" + earlierCopies + "/copy"
	stored, err := client.Get(t.Context(), key)
	if err != nil || len(stored.Kvs) != 1 {
		t.Fatalf("%s: %v, %v", key, stored, err)
	}
	content, err := withoutCopySources(stored.Kvs[0].Value)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.Put(t.Context(), key, string(content)); err != nil {
		t.Fatal(err)
	}
}

// withoutCopySources is a stored stream without the annotation that lists where its tags
// were copied from.
func withoutCopySources(stored []byte) ([]byte, error) {
	codec := protobuf.NewSerializer(imagescheme.Scheme, imagescheme.Scheme)
	s := &imagev1.ImageStream{}
	if _, _, err := codec.Decode(stored, nil, s); err != nil {
		return nil, err
	}
	if _, found := s.Annotations[stream.AnnotationCopiedFrom]; !found {
		return nil, fmt.Errorf("stream %s has no annotation %s", s.Name, stream.AnnotationCopiedFrom)
	}
	delete(s.Annotations, stream.AnnotationCopiedFrom)
	s.SetGroupVersionKind(imagev1.GroupVersion.WithKind("ImageStream"))
	var content bytes.Buffer
	err := codec.Encode(s, &content)
	return content.Bytes(), err
}

// want reads everything, pushes on top of it, and deletes what was copied from.
func (e *earlier) want(t *testing.T, p *process, c registryClient, dataDir string) {
	t.Helper()
	read := func() {
		t.Helper()
		c.wantTree(t, earlierCopies+"/copy", "v1", e.own)
		c.wantImage(t, earlierNamespace+"/charts/deep", "v1", e.plain)
	}
	read()
	c.wantTree(t, earlierNamespace+"/app", "v1", e.own)
	again := testimage.NewRaw(e.own.children[0].Layers[0], testimage.Noise(1<<10))
	if err := c.pushMissing(t.Context(), earlierNamespace+"/app", "v2", tree{children: []testimage.Raw{again}}); err != nil {
		t.Errorf("pushing on top of what an earlier version stored: %v", err)
	}
	c.wantImage(t, earlierNamespace+"/app", "v2", again)
	uid, _ := uidsOf(t, p, earlierNamespace, "app")
	if err := p.images.ImageV1().ImageStreams(earlierNamespace).Delete(t.Context(), "app", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	_, err := p.images.ImageV1().ImageStreams(earlierNamespace).Create(t.Context(), &imagev1.ImageStream{ObjectMeta: metav1.ObjectMeta{Name: "app"}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.readNone(t.Context(), earlierNamespace+"/app", e.own.parts()); err != nil {
		t.Errorf("the next owner: %v", err)
	}
	waitReleased(t, dataDir, earlierNamespace+"/app", uid)
	read()
	if err := c.readNone(t.Context(), earlierNamespace+"/app", e.own.parts()); err != nil {
		t.Errorf("the next owner, once the links are gone: %v", err)
	}
}
