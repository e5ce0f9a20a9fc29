package stream

import (
	"hash/maphash"
	"strings"
	"sync/atomic"

	imagev1 "github.com/openshift/api/image/v1"
)

// ShareEvents has the events of a stream that was decoded share their texts with equal events
// that were decoded before, in other versions above all. Each version of a stream repeats the
// history of the one before, and caches keep many: the texts are two thirds of that.
func ShareEvents(s *imagev1.ImageStream) {
	for i := range s.Status.Tags {
		items := s.Status.Tags[i].Items
		for j := range items {
			shareEvent(&items[j], decoded)
		}
	}
}

// shareEvent makes the name of an image a part of the reference, which mostly ends with it.
func shareEvent(e *imagev1.TagEvent, t *texts) {
	e.DockerImageReference = t.share(e.DockerImageReference)
	if ref := e.DockerImageReference; e.Image != "" && strings.HasSuffix(ref, e.Image) {
		e.Image = ref[len(ref)-len(e.Image):]
		return
	}
	e.Image = t.share(e.Image)
}

const (
	sharedSets, sharedWays = 1 << 14, 4
	// maxShared is the longest text that is shared: together they take 32 MiB at most.
	maxShared = 512
)

// texts are texts that were seen lately: a table without locks in which a new text takes the
// place of another. Package unique would share all texts, in three times the time of decoding.
type texts struct {
	seed maphash.Seed
	sets [sharedSets][sharedWays]atomic.Pointer[string]
}

var decoded = &texts{seed: maphash.MakeSeed()}

// share returns an equal text that was seen before, or else text itself.
func (t *texts) share(text string) string {
	if text == "" || len(text) > maxShared {
		return text
	}
	hash := maphash.String(t.seed, text)
	set := &t.sets[hash%sharedSets]
	place := hash >> 32 % sharedWays
	for i := range set {
		switch known := set[i].Load(); {
		case known == nil:
			place = uint64(i)
		case *known == text:
			return *known
		}
	}
	set[place].Store(&text)
	return text
}
