package chaos_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"testing"
	"time"

	digest "github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"weir.dev/weir/internal/testenv/testimage"
)

const (
	// againStreams are the streams that are deleted and pushed to again, and
	// againNamespaces the namespaces.
	againStreams    = 40
	againNamespaces = 6
	// againClients is how many clients do so at a time.
	againClients = 4
	// againBlind is how many pushes of manifests alone a client makes at a time.
	againBlind = 6
	// againPause bounds the time between a deletion and the next push.
	againPause = 20 * time.Millisecond
)

// again is a stream that is deleted, and pushed to at once.
type again struct {
	ns, name string
	whole    bool // the namespace is deleted
	// blind is true for a client that puts the manifest at once, as those do that only tag.
	blind bool
	// before is what the former stream has, after that of the next one: an index or, without
	// one, a single image.
	before, after tree
	// tags are those of the next stream that were acknowledged.
	tags []string
	// uids are the owners of the former stream's links.
	uids []string
}

func (a *again) repo() string { return a.ns + "/" + a.name }

// TestRegistryPushesAfterDeletion deletes streams and namespaces, and pushes to them again
// before the registry can know: what was acknowledged is whole once the links of the former
// streams are gone.
func TestRegistryPushesAfterDeletion(t *testing.T) {
	t.Parallel()
	dataDir := t.TempDir()
	p := boot(t, dataDir)
	c := administrator(t, p)
	makeNamespace(t, p, "again")
	var all []*again
	for n := range againStreams + againNamespaces {
		a := &again{ns: "again", name: fmt.Sprint("s", n), blind: n%2 == 0}
		if a.whole = n%8 == 7 || n >= againStreams; a.whole {
			a.ns = fmt.Sprint("again-", n)
		}
		switch a.before = newTree(2); n % 4 {
		case 0, 1:
			a.before = tree{children: a.before.children[:1]}
			a.after = a.before
		case 2:
			a.after = a.before
		case 3: // something else that has a layer of it
			a.after = tree{children: []testimage.Raw{testimage.NewRaw(a.before.children[0].Layers[0], testimage.Noise(1<<10))}}
		}
		all = append(all, a)
	}
	work := make(chan *again)
	var clients sync.WaitGroup
	for range againClients {
		clients.Go(func() {
			for a := range work {
				if err := a.replace(t.Context(), p, c); err != nil {
					t.Errorf("%s: %v", a.repo(), err)
				}
			}
		})
	}
	for _, a := range all {
		work <- a
	}
	close(work)
	clients.Wait()
	for _, a := range all {
		for _, uid := range a.uids {
			waitReleased(t, dataDir, a.repo(), uid)
		}
	}
	for _, a := range all {
		for _, tag := range a.tags {
			if a.after.index != nil {
				c.wantTree(t, a.repo(), tag, a.after)
			} else {
				c.wantImage(t, a.repo(), tag, a.after.children[0])
			}
		}
	}
	p.terminate(t, 20*time.Second)
}

// replace has the stream, deletes it, and pushes to it again as soon as a client can.
func (a *again) replace(ctx context.Context, p *process, c registryClient) error {
	if err := a.begin(ctx, p, c); err != nil {
		return err
	}
	if err := a.delete(ctx, p); err != nil {
		return err
	}
	if a.blind {
		if err := a.pushBlindly(ctx, c); err != nil {
			return err
		}
	} else {
		select {
		case <-time.After(rand.N(againPause)):
		case <-ctx.Done():
		}
	}
	if err := c.pushTwice(ctx, a.repo(), "v1", a.after); err != nil {
		return fmt.Errorf("pushing again: %w", err)
	}
	a.tags = append(a.tags, "v1")
	return nil
}

// pushBlindly puts nothing but the manifests, by several tags at a time. The registry may
// take them, or miss a blob.
func (a *again) pushBlindly(ctx context.Context, c registryClient) error {
	var pushes sync.WaitGroup
	errs := make([]error, againBlind)
	for n := range errs {
		pushes.Go(func() { errs[n] = c.pushManifests(ctx, a.repo(), fmt.Sprint("blind", n), a.after) })
	}
	pushes.Wait()
	for n, err := range errs {
		switch {
		case err == nil:
			a.tags = append(a.tags, fmt.Sprint("blind", n))
		case !missesBlob(err):
			return fmt.Errorf("pushing manifests alone: %w", err)
		}
	}
	return nil
}

func (a *again) begin(ctx context.Context, p *process, c registryClient) error {
	namespaces := p.kube.CoreV1().Namespaces()
	if a.whole {
		if _, err := namespaces.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: a.ns}}, metav1.CreateOptions{}); err != nil {
			return err
		}
	}
	if err := c.pushMissing(ctx, a.repo(), "v1", a.before); err != nil {
		return fmt.Errorf("pushing before the deletion: %w", err)
	}
	s, err := p.images.ImageV1().ImageStreams(a.ns).Get(ctx, a.name, metav1.GetOptions{})
	if err != nil {
		return err
	}
	a.uids = []string{string(s.UID)}
	if a.whole {
		ns, err := namespaces.Get(ctx, a.ns, metav1.GetOptions{})
		if err != nil {
			return err
		}
		a.uids = append(a.uids, string(ns.UID))
	}
	return nil
}

func (a *again) delete(ctx context.Context, p *process) error {
	if !a.whole {
		return p.images.ImageV1().ImageStreams(a.ns).Delete(ctx, a.name, metav1.DeleteOptions{})
	}
	namespaces := p.kube.CoreV1().Namespaces()
	if err := namespaces.Delete(ctx, a.ns, metav1.DeleteOptions{}); err != nil {
		return err
	}
	return createFreed(ctx, p, a.ns)
}

// createFreed makes a namespace as soon as the former one of that name is gone.
func createFreed(ctx context.Context, p *process, name string) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		_, err := p.kube.CoreV1().Namespaces().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{})
		if err == nil {
			return nil
		}
		select {
		case <-time.After(time.Millisecond):
		case <-ctx.Done():
			return fmt.Errorf("making namespace %s anew: %w", name, err)
		}
	}
}

// pushTwice pushes as clients do, without blobs that the registry has. It begins once more
// when the registry misses a blob.
func (c registryClient) pushTwice(ctx context.Context, repo, tag string, tr tree) error {
	err := c.pushMissing(ctx, repo, tag, tr)
	if missesBlob(err) {
		err = c.pushMissing(ctx, repo, tag, tr)
	}
	return err
}

// missesBlob reports whether a manifest was refused for a blob that is not there.
func missesBlob(err error) bool {
	var refused *refusal
	return errors.As(err, &refused) && refused.is(http.StatusNotFound, "MANIFEST_BLOB_UNKNOWN")
}

// pushMissing uploads the blobs that the registry does not have, and then the manifests.
func (c registryClient) pushMissing(ctx context.Context, repo, tag string, tr tree) error {
	for _, child := range tr.children {
		if err := c.uploadMissing(ctx, repo, child); err != nil {
			return err
		}
	}
	return c.pushManifests(ctx, repo, tag, tr)
}

func (c registryClient) uploadMissing(ctx context.Context, repo string, i testimage.Raw) error {
	for _, blob := range i.Blobs() {
		path := blobOf(repo, digest.FromBytes(blob))
		reply, err := c.send(ctx, http.MethodHead, path, nil)
		switch {
		case err == nil && reply.status == http.StatusNotFound:
			err = c.upload(ctx, atOnce, repo, blob)
		case err == nil && reply.status != http.StatusOK:
			err = &refusal{"HEAD " + path, reply}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// pushManifests pushes the images of an index by digest, and the index by tag; without an
// index, the image by tag.
func (c registryClient) pushManifests(ctx context.Context, repo, tag string, tr tree) error {
	if tr.index == nil {
		return c.putManifest(ctx, repo, tag, tr.children[0])
	}
	for _, child := range tr.children {
		if err := c.putManifest(ctx, repo, child.Digest.String(), child); err != nil {
			return err
		}
	}
	_, err := c.want(ctx, http.StatusCreated, http.MethodPut, manifestOf(repo, tag), bytes.NewReader(tr.index),
		"Content-Type", ocispec.MediaTypeImageIndex)
	return err
}
