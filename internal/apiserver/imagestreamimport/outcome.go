package imagestreamimport

import (
	"context"
	"fmt"
	"strings"

	imagev1 "github.com/openshift/api/image/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/klog/v2"

	"weir.dev/weir/internal/foreigntext"
	"weir.dev/weir/internal/imageapi"
)

// The bounds of one line of the log.
const (
	maxLogged     = 10
	maxLoggedText = 250
)

// logOutcome has the log say which tags an import is about, which failed, and why.
func logOutcome(ctx context.Context, isi *imagev1.ImageStreamImport, dryRun []string) {
	logger := klog.FromContext(ctx).V(2)
	if !logger.Enabled() {
		return
	}
	message := "Imported"
	if !isi.Spec.Import || len(dryRun) > 0 {
		message = "Looked at images"
	}
	imported, failed := outcomes(isi)
	logger.Info(message, "imageStream", klog.KObj(isi), "why", askedBy(isi), "tags", imported, "failed", failed)
}

// askedBy names why one of Weir's controllers made an import; all others are a "request".
func askedBy(isi *imagev1.ImageStreamImport) string {
	switch cause := isi.Annotations[imageapi.AnnotationImportCause]; cause {
	case "spec", "retry", "schedule":
		return cause
	}
	return "request"
}

// outcomes are the tags of an answered import by name, those that failed with the reason.
func outcomes(isi *imagev1.ImageStreamImport) (imported, failed []string) {
	imported, failed = []string{}, []string{}
	add := func(name string, status *metav1.Status) {
		name = foreigntext.Truncate(name, maxLoggedText)
		if status.Status == metav1.StatusFailure {
			failed = append(failed, name+": "+reasonText(status))
			return
		}
		imported = append(imported, name)
	}
	for i := range isi.Status.Images {
		name := isi.Spec.Images[i].From.Name
		if to := isi.Spec.Images[i].To; to != nil {
			name = to.Name
		}
		add(name, &isi.Status.Images[i].Status)
	}
	if r := isi.Status.Repository; r != nil {
		for i := range r.Images {
			add(r.Images[i].Tag, &r.Images[i].Status)
		}
		if len(r.Images) == 0 {
			add(isi.Spec.Repository.From.Name, &r.Status)
		}
	}
	return firstOf(imported), firstOf(failed)
}

// reasonText is a status in few words.
func reasonText(s *metav1.Status) string {
	return strings.TrimSuffix(fmt.Sprintf("%s: %s", s.Reason, foreigntext.Truncate(s.Message, maxLoggedText)), ": ")
}

// firstOf bounds a list and counts the rest.
func firstOf(all []string) []string {
	if len(all) <= maxLogged {
		return all
	}
	return append(all[:maxLogged:maxLogged], fmt.Sprintf("and %d more", len(all)-maxLogged))
}
