package imageserver

import (
	"bytes"
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/klog/v2"
	apiregistrationv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
	apiregistrationclient "k8s.io/kube-aggregator/pkg/client/clientset_generated/clientset/typed/apiregistration/v1"

	"weir.dev/weir/internal/apiserver"
)

const (
	// registrationInterval is the time between two comparisons of the APIServices. A certificate in
	// a file is served a few seconds after it changed.
	registrationInterval = 10 * time.Second
	// versionPriority orders the versions of a group, of which there is one.
	versionPriority = 15

	// autoManaged is the label of APIServices that an aggregator makes for the groups of its own
	// process, and removes.
	autoManaged = "kube-aggregator.kubernetes.io/automanaged"
	// certManager is the start of the annotations by which cert-manager writes the CA bundle.
	certManager = "cert-manager.io/inject-"
)

// registration keeps the APIServices of the image API as they should be.
type registration struct {
	client  apiregistrationclient.APIServiceInterface
	service service
	// certificate returns the chain in PEM with which the server serves.
	certificate func() []byte
}

// run compares and corrects until ctx ends. A failure is logged once until it succeeds again.
func (r *registration) run(ctx context.Context, interval time.Duration) {
	failed := false
	_ = wait.PollUntilContextCancel(ctx, interval, true, func(ctx context.Context) (bool, error) {
		err := r.reconcile(ctx)
		if err != nil && !failed && ctx.Err() == nil {
			klog.FromContext(ctx).Error(err, "The image API cannot be registered with the aggregator; trying again", "in", interval)
		}
		failed = err != nil
		return false, nil
	}) // it ends with ctx
}

func (r *registration) reconcile(ctx context.Context) error {
	bundle, err := lastOfChain(r.certificate())
	if err != nil {
		return err
	}
	var errs []error
	for groupVersion, priority := range apiserver.GroupVersions() {
		errs = append(errs, r.reconcileOne(ctx, wantedAPIService(groupVersion, priority, r.service, bundle)))
	}
	return errors.Join(errs...)
}

func (r *registration) reconcileOne(ctx context.Context, wanted *apiregistrationv1.APIService) error {
	current, err := r.client.Get(ctx, wanted.Name, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		_, err = r.client.Create(ctx, wanted, metav1.CreateOptions{})
	case err == nil:
		changed := corrected(current, wanted)
		if changed == nil {
			return nil
		}
		_, err = r.client.Update(ctx, changed, metav1.UpdateOptions{})
	}
	if err != nil {
		return fmt.Errorf("registering the APIService %s: %w", wanted.Name, err)
	}
	klog.FromContext(ctx).Info("The APIService is registered", "apiService", wanted.Name, "service", r.service.namespace+"/"+r.service.name)
	return nil
}

// wantedAPIService is the APIService of a group version.
func wantedAPIService(groupVersion schema.GroupVersion, priority int32, s service, bundle []byte) *apiregistrationv1.APIService {
	return &apiregistrationv1.APIService{
		ObjectMeta: metav1.ObjectMeta{Name: groupVersion.Version + "." + groupVersion.Group},
		Spec: apiregistrationv1.APIServiceSpec{
			Group: groupVersion.Group, Version: groupVersion.Version,
			GroupPriorityMinimum: priority, VersionPriority: versionPriority,
			Service:  &apiregistrationv1.ServiceReference{Namespace: s.namespace, Name: s.name, Port: &s.port},
			CABundle: bundle,
		},
	}
}

// corrected is the current APIService as it should be, nil if it is so already. Priorities that an
// administrator chose stay, and so does the CA bundle of one that cert-manager writes.
func corrected(current, wanted *apiregistrationv1.APIService) *apiregistrationv1.APIService {
	changed := current.DeepCopy()
	delete(changed.Labels, autoManaged)
	changed.Spec.Service = wanted.Spec.Service
	if !writtenByCertManager(current) {
		changed.Spec.CABundle, changed.Spec.InsecureSkipTLSVerify = wanted.Spec.CABundle, false
	}
	if equality.Semantic.DeepEqual(current, changed) {
		return nil
	}
	return changed
}

func writtenByCertManager(s *apiregistrationv1.APIService) bool {
	for name := range s.Annotations {
		if strings.HasPrefix(name, certManager) {
			return true
		}
	}
	return false
}

// lastOfChain is the last certificate of a chain in PEM: the authority, if the chain has it, or the
// certificate that is nearest to it. Trusting that is enough to verify the others.
func lastOfChain(chain []byte) ([]byte, error) {
	var last []byte
	for block, rest := pem.Decode(bytes.Clone(chain)); block != nil; block, rest = pem.Decode(rest) {
		if block.Type == "CERTIFICATE" {
			last = pem.EncodeToMemory(&pem.Block{Type: block.Type, Bytes: slices.Clone(block.Bytes)})
		}
	}
	if last == nil {
		return nil, errors.New("the certificate with which the image API is served is not PEM")
	}
	return last, nil
}
