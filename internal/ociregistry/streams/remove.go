package streams

import (
	"context"
	"slices"
	"strings"
	"time"

	digest "github.com/opencontainers/go-digest"
	imagev1 "github.com/openshift/api/image/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/util/retry"

	"weir.dev/weir/internal/blobstore"
	"weir.dev/weir/internal/ociregistry"
	"weir.dev/weir/internal/reference"
	"weir.dev/weir/internal/stream"
)

// lostRaces bounds the attempts of a write after conflicts.
var lostRaces = wait.Backoff{Steps: 10, Duration: 10 * time.Millisecond, Factor: 1.5, Jitter: 0.5}

// Released implements ociregistry.Directory.
func (d *Directory) Released(r blobstore.Repository) {
	if namespace, name, ok := strings.Cut(r.Name, "/"); ok && r.Stream != "" {
		d.removals.released(types.NamespacedName{Namespace: namespace, Name: name}, types.UID(r.Stream))
	}
}

// DeleteTag implements ociregistry.Directory.
func (d *Directory) DeleteTag(ctx context.Context, repo reference.Repository, tag string) error {
	doing := "deleting tag " + repo.String() + ":" + tag
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	name := reference.JoinStreamTag(repo.Stream, tag)
	err := retry.OnError(lostRaces, apierrors.IsConflict, func() error {
		return d.api.images.ImageStreamTags(repo.Namespace).Delete(ctx, name, metav1.DeleteOptions{})
	})
	d.refresh(ctx, idOf(repo))
	switch {
	case err == nil:
		return nil
	case missing(err, repo.Stream):
		return nameUnknown(repo)
	case missing(err, name):
		return manifestUnknown(repo, "tag", tag)
	}
	return deleteRefusal(err, repo, doing)
}

// DeleteManifest implements ociregistry.Directory. A tag that leads to the manifest is
// deleted, as the specification has it, and does not fall back to what it led to before.
// A stream that does not exist has no manifest.
//
// Tags go from the spec, too, as when they are deleted, and go from there first: a tag that
// only the spec has is an order to import it, which would bring the manifest back.
//
// Both writes name the version that they change, so that a push in between is not undone:
// the whole is done again then.
func (d *Directory) DeleteManifest(ctx context.Context, repo reference.Repository, m digest.Digest) (found bool, err error) {
	doing := "deleting manifest " + m.String() + " of " + repo.String()
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	done, err := d.locks.lock(ctx, idOf(repo))
	if err != nil {
		return false, unavailable(err, doing)
	}
	err = retry.OnError(lostRaces, apierrors.IsConflict, func() error {
		removed, err := d.removeManifest(ctx, repo, m)
		found = found || removed
		return err
	})
	done()
	if !found && err == nil {
		return false, nil
	}
	d.refresh(ctx, idOf(repo))
	if err != nil && !missing(err, repo.Stream) {
		return false, deleteRefusal(err, repo, doing)
	}
	return found, nil
}

// removeManifest is one attempt. The error is the API's.
func (d *Directory) removeManifest(ctx context.Context, repo reference.Repository, m digest.Digest) (found bool, err error) {
	streams := d.api.images.ImageStreams(repo.Namespace)
	s, err := streams.Get(ctx, repo.Stream, getOptions)
	if err != nil {
		return false, err
	}
	if !slices.Contains(stream.Images(s), m.String()) {
		return false, nil
	}
	if removeOrders(s, m.String()) {
		if s, err = streams.Update(ctx, s, metav1.UpdateOptions{}); err != nil {
			return false, err
		}
	}
	removeEvents(s, m.String())
	_, err = streams.UpdateStatus(ctx, s, metav1.UpdateOptions{})
	return err == nil, err
}

// leadsTo reports whether a tag's newest event is of an image.
func leadsTo(t *imagev1.NamedTagEventList, image string) bool {
	return len(t.Items) > 0 && t.Items[0].Image == image
}

// removeOrders removes, from the spec, the tags that lead to an image.
func removeOrders(s *imagev1.ImageStream, image string) (changed bool) {
	for i := range s.Status.Tags {
		t := &s.Status.Tags[i]
		if leadsTo(t, image) && stream.RemoveSpecTag(s, t.Tag) {
			changed = true
		}
	}
	return changed
}

// removeEvents removes the tags that lead to an image, and its events from the history of
// all others.
func removeEvents(s *imagev1.ImageStream, image string) {
	s.Status.Tags = slices.DeleteFunc(s.Status.Tags, func(t imagev1.NamedTagEventList) bool { return leadsTo(&t, image) })
	for i := range s.Status.Tags {
		t := &s.Status.Tags[i]
		t.Items = slices.DeleteFunc(t.Items, func(e imagev1.TagEvent) bool { return e.Image == image })
	}
}

// deleteRefusal returns the error for a deletion that the API refuses. Persistent conflicts and
// all other errors mean that the API is unavailable.
func deleteRefusal(err error, repo reference.Repository, doing string) *ociregistry.Error {
	if apierrors.IsForbidden(err) || apierrors.IsInvalid(err) || missingNamespace(err) {
		return apiDenied(err, repo, doing)
	}
	return unavailable(err, doing)
}
