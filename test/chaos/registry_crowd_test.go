package chaos_test

import (
	"context"
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	digest "github.com/opencontainers/go-digest"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"weir.dev/weir/internal/stream"
	"weir.dev/weir/internal/testenv/testimage"
)

const (
	crowdUploads = 200
	crowdBytes   = 4 * chunkBytes
	crowdPushers = 12
)

// crowd has so many clients do something at once, and waits for them. What they return
// are failures of the test.
func crowd(t *testing.T, size int, do func(n int) error) {
	t.Helper()
	var clients, ready sync.WaitGroup
	ready.Add(size)
	for n := range size {
		clients.Go(func() {
			ready.Done()
			ready.Wait()
			if err := do(n); err != nil {
				t.Errorf("client %d: %v", n, err)
			}
		})
	}
	clients.Wait()
}

// TestRegistryCrowd has many clients push at once.
func TestRegistryCrowd(t *testing.T) {
	t.Parallel()
	dataDir := t.TempDir()
	p := boot(t, dataDir)
	prepare(t, p)
	c := administrator(t, p)
	t.Run("a blob", func(t *testing.T) { manyPushABlob(t, c) })
	t.Run("a tag", func(t *testing.T) { manyPushATag(t, p, c) })
	t.Run("an image", func(t *testing.T) { manyPushAnImage(t, p, c) })
	t.Run("uploads", func(t *testing.T) { manyUploads(t, c) })
	wantVerified(t, dataDir)
	left, err := filepath.Glob(filepath.Join(dataDir, "registry", "docker", "registry", "v2", "repositories", "*", "*", "_uploads", "*"))
	if err != nil || len(left) > 0 {
		t.Errorf("uploads that have ended are left: %q, %v", left, err)
	}
	t.Logf("it ended after %s", p.terminate(t, 20*time.Second))
}

// manyPushABlob holds that clients which upload the same blob at once, to one repository
// and to several, in whatever way, all have it.
func manyPushABlob(t *testing.T, c registryClient) {
	content := testimage.Noise(1 << 20)
	d := digest.FromBytes(content)
	crowd(t, crowdPushers, func(n int) error {
		repo := fmt.Sprintf("%s/crowd-%d", namespace, n%3)
		if err := c.upload(t.Context(), ways[n%len(ways)], repo, content); err != nil {
			return err
		}
		_, err := c.content(t.Context(), blobOf(repo, d), d)
		return err
	})
}

// manyPushATag holds that of clients which push to one tag at once, each has its image
// there, by digest and in the tag's history, and one has the tag.
func manyPushATag(t *testing.T, p *process, c registryClient) {
	const repo = namespace + "/crowded-tag"
	shared, images := testimage.Noise(200<<10), make([]testimage.Raw, crowdPushers)
	crowd(t, crowdPushers, func(n int) error {
		images[n] = testimage.NewRaw(shared, testimage.Noise(50<<10))
		if err := c.push(t.Context(), ways[n%len(ways)], repo, "t", images[n]); err != nil {
			return err
		}
		_, err := c.pull(t.Context(), repo, images[n].Digest.String())
		return err
	})
	head, err := c.pull(t.Context(), repo, "t")
	if err != nil {
		t.Fatal(err)
	}
	had := historyOf(t, p, "crowded-tag", "t")
	if len(had) != len(images) || had[0] != head.String() {
		t.Errorf("%d pushes were acknowledged, the tag is %s, its history %q", len(images), head, had)
	}
	for _, i := range images {
		c.wantImage(t, repo, i.Digest.String(), i)
		if !slices.Contains(had, i.Digest.String()) {
			t.Errorf("acknowledged and not in the history: %s", i.Digest)
		}
	}
}

// historyOf are the images of a tag's history, newest first.
func historyOf(t *testing.T, p *process, streamName, tag string) (images []string) {
	t.Helper()
	s, err := p.images.ImageV1().ImageStreams(namespace).Get(t.Context(), streamName, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if list := stream.StatusTag(s, tag); list != nil {
		for _, event := range list.Items {
			images = append(images, event.Image)
		}
	}
	return images
}

// manyPushAnImage holds that clients which push the same image to one tag at once are all
// told that it is there, and that it is there once.
func manyPushAnImage(t *testing.T, p *process, c registryClient) {
	const repo = namespace + "/crowded-image"
	i := testimage.NewRaw(testimage.Noise(300<<10), testimage.Noise(10))
	crowd(t, crowdPushers, func(n int) error {
		return c.push(t.Context(), ways[n%len(ways)], repo, "t", i)
	})
	c.wantImage(t, repo, "t", i)
	if had := historyOf(t, p, "crowded-image", "t"); !slices.Equal(had, []string{i.Digest.String()}) {
		t.Errorf("the same image was pushed by all, the history is %q", had)
	}
}

// manyUploads holds that uploads which are under way at the same time do not mix: each
// blob is what its client sent, and uploads that are cancelled leave nothing.
func manyUploads(t *testing.T, c registryClient) {
	const repo = namespace + "/uploads"
	var underWay sync.WaitGroup
	underWay.Add(crowdUploads)
	crowd(t, crowdUploads, func(n int) error {
		content := testimage.Noise(crowdBytes)
		location, err := c.begin(t.Context(), repo)
		if err == nil {
			err = c.patch(t.Context(), location, content[:chunkBytes], 0)
		}
		underWay.Done()
		underWay.Wait() // none is finished before all have begun
		if err != nil {
			return err
		}
		if n%10 == 0 {
			return cancelled(t.Context(), c, repo, location, content)
		}
		for at := chunkBytes; at < len(content) && err == nil; at += chunkBytes {
			err = c.patch(t.Context(), location, content[at:at+chunkBytes], at)
		}
		d := digest.FromBytes(content)
		if err == nil {
			err = c.finish(t.Context(), location, nil, d)
		}
		if err == nil {
			_, err = c.content(t.Context(), blobOf(repo, d), d)
		}
		return err
	})
}

// cancelled cancels an upload in its middle, after which nothing is known of it.
func cancelled(ctx context.Context, c registryClient, repo, location string, content []byte) error {
	err := c.patch(ctx, location, content[chunkBytes:2*chunkBytes], chunkBytes)
	if err == nil {
		_, err = c.want(ctx, http.StatusNoContent, http.MethodDelete, location, nil)
	}
	if err == nil {
		_, err = c.want(ctx, http.StatusNotFound, http.MethodGet, location, nil)
	}
	if err == nil {
		_, err = c.want(ctx, http.StatusNotFound, http.MethodGet, blobOf(repo, digest.FromBytes(content)), nil)
	}
	return err
}
