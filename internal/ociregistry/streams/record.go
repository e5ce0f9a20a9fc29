package streams

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	imagev1 "github.com/openshift/api/image/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"weir.dev/weir/internal/imageapi"
	"weir.dev/weir/internal/ociregistry"
)

const (
	// maxProvisions is how often one push creates its stream, which other clients may delete
	// meanwhile.
	maxProvisions = 3
	// raceDelay is the longest pause after a conflict.
	raceDelay = 50 * time.Millisecond
)

// Record implements ociregistry.Directory. One mapping moves all tags: the API writes a stream
// as a whole, and so once for a push.
func (d *Directory) Record(ctx context.Context, p ociregistry.Push) (ociregistry.Stream, error) {
	img, err := imageOf(p, d.options.Hosts.Internal, d.options.Now())
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	if len(p.Tags) == 0 {
		err = d.createImage(ctx, p, img)
		d.refresh(ctx, idOf(p.Repository)) // it may have been deleted: what is linked is to last
	} else {
		err = d.moveTags(ctx, p, img)
	}
	if err != nil {
		return nil, err
	}
	d.images.add(imageFacts(img))
	return d.Stream(ctx, p.Repository, false)
}

// Correct implements ociregistry.Directory: the API corrects an Image that is sent to it
// again by an identity that may update Images, and answers that there is one.
func (d *Directory) Correct(ctx context.Context, p ociregistry.Push, pullSpec string) error {
	img, err := imageOf(p, d.options.Hosts.Internal, d.options.Now())
	if err != nil {
		return err
	}
	img.DockerImageReference = pullSpec
	img.Annotations = map[string]string{imageapi.AnnotationLayersOrder: img.Annotations[imageapi.AnnotationLayersOrder]}
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	if err := d.createImage(ctx, p, img); err != nil {
		return err
	}
	d.images.add(imageFacts(img))
	return nil
}

// createImage creates an Image that no stream refers to yet. An existing one has the same
// manifest.
func (d *Directory) createImage(ctx context.Context, p ociregistry.Push, img *imagev1.Image) error {
	_, err := d.api.images.Images().Create(ctx, img, metav1.CreateOptions{})
	if err == nil || apierrors.IsAlreadyExists(err) {
		return nil
	}
	return apiDenied(err, p.Repository, "recording image "+img.Name)
}

func (d *Directory) moveTags(ctx context.Context, p ociregistry.Push, img *imagev1.Image) error {
	id := idOf(p.Repository)
	done, err := d.locks.lock(ctx, id)
	if err != nil {
		return unavailable(err, "tagging "+p.Repository.String())
	}
	err = d.postMapping(ctx, p, img)
	done()
	d.refresh(ctx, id) // also after a failure: the tags may have been moved
	return err
}

// postMapping moves the tags, and creates the stream if there is none.
//
// A mapping that conflicts at one of its tags is retried: the last push has the tag, and its
// history has all acknowledged pushes.
func (d *Directory) postMapping(ctx context.Context, p ociregistry.Push, img *imagev1.Image) error {
	doing := "tagging " + p.Repository.String() + ":" + p.Tags[0]
	if more := len(p.Tags) - 1; more > 0 {
		doing += fmt.Sprintf(" and %d more", more)
	}
	mapping := &imagev1.ImageStreamMapping{
		ObjectMeta: metav1.ObjectMeta{Namespace: p.Repository.Namespace, Name: p.Repository.Stream},
		Image:      *img,
	}
	if err := imageapi.SetMappingTags(mapping, p.Tags); err != nil {
		return unavailable(err, doing)
	}
	mappings := d.api.images.ImageStreamMappings(p.Repository.Namespace)
	for provisions := 0; ; {
		_, err := mappings.Create(ctx, mapping, metav1.CreateOptions{})
		switch {
		case err == nil:
			return nil
		case missingStream(err, p.Repository.Stream) && provisions < maxProvisions:
			provisions++
			if err := d.provision(ctx, p); err != nil {
				return err
			}
		case apierrors.IsConflict(err):
			if err := pause(ctx, rand.N(raceDelay)); err != nil {
				return unavailable(err, doing)
			}
		default:
			return apiDenied(err, p.Repository, doing)
		}
	}
}

// provision creates the stream as the pushing user, with the user's rights and quota.
func (d *Directory) provision(ctx context.Context, p ociregistry.Push) error {
	doing := "making image stream " + p.Repository.Key()
	client, err := d.api.as(p.User)
	if err != nil {
		return unavailable(err, doing)
	}
	s := &imagev1.ImageStream{ObjectMeta: metav1.ObjectMeta{Namespace: p.Repository.Namespace, Name: p.Repository.Stream}}
	if p.Repository.Path != p.Repository.Stream {
		s.Annotations = map[string]string{imageapi.AnnotationRepository: p.Repository.Path}
	}
	_, err = client.ImageStreams(p.Repository.Namespace).Create(ctx, s, metav1.CreateOptions{})
	if err == nil || apierrors.IsAlreadyExists(err) || apierrors.IsConflict(err) {
		return nil
	}
	return apiDenied(err, p.Repository, doing)
}

// pause waits, unless ctx ends first, whose error it returns.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
