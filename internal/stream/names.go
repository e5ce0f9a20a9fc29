package stream

import (
	"slices"
	"strings"
	"time"

	imagev1 "github.com/openshift/api/image/v1"
)

// ShowCurrentNames rewrites the references of tag events to the integrated registry, where
// they have a name that the registry no longer has, to its internal name. They are rewritten on
// every read: a pull spec has to work now. Lists of events that change are copied, since
// versions of a stream may share them.
func ShowCurrentNames(s *imagev1.ImageStream, hosts Registries) {
	if !hosts.hadOthers() {
		return
	}
	for i := range s.Status.Tags {
		tag, copied := &s.Status.Tags[i], false
		for n := range tag.Items {
			ref, changed := hosts.currentName(tag.Items[n].DockerImageReference, tag.Items[n].Created.Time)
			if !changed {
				continue
			}
			if !copied {
				tag.Items, copied = slices.Clone(tag.Items), true
			}
			tag.Items[n].DockerImageReference = ref
		}
	}
}

// ShowCurrentName does the same for the reference of an Image.
func ShowCurrentName(image *imagev1.Image, hosts Registries) {
	if hosts.hadOthers() {
		image.DockerImageReference, _ = hosts.currentName(image.DockerImageReference, image.CreationTimestamp.Time)
	}
}

// hadOthers reports whether the registry had names that it no longer has.
func (r Registries) hadOthers() bool {
	return r.Internal != "" && len(r.Former)+len(r.Remembered) > 0
}

// currentName replaces the host of a pull spec that was recorded at a time, if it was a name of
// the registry then and no longer is.
func (r Registries) currentName(pullSpec string, recorded time.Time) (string, bool) {
	host, rest, found := strings.Cut(pullSpec, "/")
	if !found || host == r.Internal || host == r.Public || !r.HadAt(host, recorded) {
		return pullSpec, false
	}
	return r.Internal + "/" + rest, true
}
