package importrequest

import (
	"context"
	"fmt"
	"time"

	imagev1 "github.com/openshift/api/image/v1"
	imageclient "github.com/openshift/client-go/image/clientset/versioned/typed/image/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/klog/v2"

	"weir.dev/weir/internal/imageapi"
)

// DefaultTimeout is how long the API may take for one import. The request has it as
// timeout=1h.
const DefaultTimeout = time.Hour

// Why is the trigger of an import, in metrics and logs.
type Why string

const (
	// WhySpec: a tag was set or reset in spec.
	WhySpec Why = "spec"
	// WhyRetry: the last import of a tag failed.
	WhyRetry Why = "retry"
	// WhySchedule: the tag is re-imported on a schedule.
	WhySchedule Why = "schedule"
)

// Client posts imports. It is safe for concurrent use.
type Client struct {
	images  imageclient.ImageV1Interface
	timeout time.Duration
}

// NewClient returns a Client over a typed client of the image API. The client's
// configuration must not set a Timeout, which would end imports early. A timeout of zero
// is DefaultTimeout.
func NewClient(images imageclient.ImageV1Interface, timeout time.Duration) *Client {
	registerMetrics()
	if timeout <= 0 {
		timeout = DefaultTimeout
	}
	return &Client{images: images, timeout: timeout}
}

// Post creates an import and waits for the response, in which every image has its own
// status. An error means that the import as a whole failed; of API errors, Conflict means
// that the stream changed since it was read, NotFound that it was deleted.
func (c *Client) Post(ctx context.Context, isi *imagev1.ImageStreamImport, why Why) (*imagev1.ImageStreamImport, error) {
	logger := klog.FromContext(ctx)
	logger.V(4).Info("Importing", "why", why, "imageStream", klog.KObj(isi), "images", len(isi.Spec.Images), "repository", isi.Spec.Repository != nil)
	metav1.SetMetaDataAnnotation(&isi.ObjectMeta, imageapi.AnnotationImportCause, string(why))
	start := time.Now()
	answer := &imagev1.ImageStreamImport{}
	err := c.images.RESTClient().Post().
		Namespace(isi.Namespace).
		Resource("imagestreamimports").
		Timeout(c.timeout).
		Body(isi).
		Do(ctx).
		Into(answer)
	if ctx.Err() != nil {
		return nil, fmt.Errorf("importing into image stream %s/%s: %w", isi.Namespace, isi.Name, context.Cause(ctx))
	}
	observe(why, time.Since(start), err)
	if err != nil {
		if !apierrors.IsConflict(err) { // not a failure of a registry, and resolved by the retry
			countFailed(isi, err)
		}
		return nil, fmt.Errorf("importing into image stream %s/%s: %w", isi.Namespace, isi.Name, err)
	}
	count(isi, answer)
	return answer, nil
}
