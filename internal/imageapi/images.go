package imageapi

import (
	imagev1 "github.com/openshift/api/image/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// forEachImage visits every Image that an object of the group is or carries.
func forEachImage(obj runtime.Object, visit func(*imagev1.Image)) {
	switch o := obj.(type) {
	case *imagev1.Image:
		visit(o)
	case *imagev1.ImageList:
		each(o.Items, visit)
	case *imagev1.ImageStreamTag:
		visit(&o.Image)
	case *imagev1.ImageStreamTagList:
		each(o.Items, func(t *imagev1.ImageStreamTag) { visit(&t.Image) })
	case *imagev1.ImageTag:
		visitPresent(o.Image, visit)
	case *imagev1.ImageTagList:
		each(o.Items, func(t *imagev1.ImageTag) { visitPresent(t.Image, visit) })
	case *imagev1.ImageStreamImage:
		visit(&o.Image)
	case *imagev1.ImageStreamMapping:
		visit(&o.Image)
	case *imagev1.ImageStreamImport:
		visitImported(o.Status.Images, visit)
		if o.Status.Repository != nil {
			visitImported(o.Status.Repository.Images, visit)
		}
	}
}

func visitPresent(img *imagev1.Image, visit func(*imagev1.Image)) {
	if img != nil {
		visit(img)
	}
}

func visitImported(statuses []imagev1.ImageImportStatus, visit func(*imagev1.Image)) {
	each(statuses, func(s *imagev1.ImageImportStatus) {
		visitPresent(s.Image, visit)
		each(s.Manifests, visit)
	})
}
