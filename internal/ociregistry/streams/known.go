package streams

import (
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	imagev1 "github.com/openshift/api/image/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/resourceversion"
	"k8s.io/client-go/tools/cache"
)

const (
	// aMoment is how long an answer of the API that something is not there is believed,
	// and for how long a stream that nothing watches.
	aMoment = 250 * time.Millisecond
	// overtaken is how long what was read from the API may be ahead of the watch. A watch
	// that still tells of older versions then is right: the API's storage was put back.
	overtaken = time.Minute
)

// version is a stream as it was at some time. Neither it nor the stream is changed.
type version struct {
	stream *imagev1.ImageStream
	// seq grows with every version that any stream gets.
	seq uint64
	// read is when it was read from the API, ahead of the watch; zero once the watch
	// told of it.
	read time.Time
	// since is when this process learnt of it.
	since time.Time
	// doubted is true when this process wrote and could not read back what it wrote.
	doubted bool
}

// known has the newest version of every stream: what the watch told, or what was read
// from the API since.
type known struct {
	now func() time.Time
	// removed is called, outside of locks, for each stream that is gone.
	removed func(types.NamespacedName, types.UID)
	// changed is called, outside of locks, for each version of a stream that the watch tells.
	changed func(types.NamespacedName, *version)

	mu      sync.RWMutex
	streams map[types.NamespacedName]*version
	copiers copiers
	seq     uint64

	complete atomic.Bool   // the watch has told of all streams
	names    atomic.Uint64 // grows when a stream comes, goes, or is called otherwise
}

func newKnown(now func() time.Time) *known {
	return &known{now: now, streams: map[types.NamespacedName]*version{}, copiers: copiers{}, removed: func(types.NamespacedName, types.UID) {}, changed: func(types.NamespacedName, *version) {}}
}

func (k *known) synced() bool { return k.complete.Load() }

// get is the stream and whether that can be relied upon. There may be such a stream, or a
// newer version of it, where it cannot; then it may be nil.
func (k *known) get(id types.NamespacedName) (v *version, sure bool) {
	k.mu.RLock()
	v = k.streams[id]
	k.mu.RUnlock()
	if v == nil || v.doubted {
		return v, false
	}
	watched := v.read.IsZero() || k.synced()
	return v, watched || k.now().Sub(v.read) < aMoment
}

// put takes a stream that was read from the API at some time.
func (k *known) put(s *imagev1.ImageStream, at time.Time) {
	trim(s)
	id := idOfStream(s)
	k.mu.Lock()
	var replaced types.UID
	if now := k.streams[id]; now == nil || !newer(now.stream, s) {
		replaced = k.set(id, s, at)
	}
	k.mu.Unlock()
	k.tell(id, replaced)
}

// tell calls removed, unless the UID is that of no stream.
func (k *known) tell(id types.NamespacedName, uid types.UID) {
	if uid != "" {
		k.removed(id, uid)
	}
}

// tellChanged calls changed for the versions that are known now.
func (k *known) tellChanged(ids ...types.NamespacedName) {
	for _, id := range ids {
		if v, _ := k.get(id); v != nil {
			k.changed(id, v)
		}
	}
}

// gone takes notice that the API had no such stream at some time. What was learnt since
// may have been made since; if it was not, the watch is going to say so.
func (k *known) gone(id types.NamespacedName, at time.Time) {
	k.mu.Lock()
	v := k.streams[id]
	var uid types.UID
	if v != nil && !v.since.After(at) {
		uid = k.remove(id)
	}
	k.mu.Unlock()
	k.tell(id, uid)
}

// doubt has the next reader ask the API.
func (k *known) doubt(id types.NamespacedName) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if v := k.streams[id]; v != nil {
		doubted := *v
		doubted.doubted = true
		k.streams[id] = &doubted
	}
}

// all calls f for every stream, in no order. f must not block.
func (k *known) all(f func(types.NamespacedName, *imagev1.ImageStream)) {
	k.mu.RLock()
	defer k.mu.RUnlock()
	for id, v := range k.streams {
		f(id, v.stream)
	}
}

// copiersOf are the streams that have copies from a repository, in no order.
func (k *known) copiersOf(repository string) []*imagev1.ImageStream {
	k.mu.RLock()
	defer k.mu.RUnlock()
	var streams []*imagev1.ImageStream
	for id := range k.copiers[repository] {
		if v := k.streams[id]; v != nil {
			streams = append(streams, v.stream)
		}
	}
	return streams
}

// set makes s the version of the stream; the lock is held. read is zero for what the
// watch tells. A version that is there already stays the same object, so that what was
// derived from it need not be derived again. Doubts end when the API was asked. replaced is
// the UID of another stream that had the name.
func (k *known) set(id types.NamespacedName, s *imagev1.ImageStream, read time.Time) (replaced types.UID) {
	v := &version{stream: s, read: read, since: k.now()}
	old := k.streams[id]
	if old == nil || repositoryOf(old.stream) != repositoryOf(s) {
		k.names.Add(1)
	}
	if old != nil {
		v.doubted = old.doubted && read.IsZero()
	}
	if old != nil && old.stream.ResourceVersion == s.ResourceVersion && old.stream.UID == s.UID {
		v.stream, v.seq = old.stream, old.seq
		if old.read.IsZero() {
			v.read = old.read
		}
	} else {
		k.seq++
		v.seq = k.seq
	}
	if old != nil && old.stream.UID != s.UID {
		replaced = old.stream.UID
	}
	var before *imagev1.ImageStream
	if old != nil {
		before = old.stream
	}
	k.copiers.replace(id, before, v.stream)
	k.streams[id] = v
	return replaced
}

func (k *known) remove(id types.NamespacedName) types.UID {
	uid := k.streams[id].stream.UID
	k.copiers.replace(id, k.streams[id].stream, nil)
	delete(k.streams, id)
	k.names.Add(1)
	return uid
}

// watched takes a version that the watch tells of, unless what was read is ahead of it.
// The lock is held. replaced is that of set.
func (k *known) watched(s *imagev1.ImageStream) (replaced types.UID) {
	id := idOfStream(s)
	if now := k.streams[id]; now == nil || !k.ahead(now, s.ResourceVersion) {
		return k.set(id, s, time.Time{})
	}
	return ""
}

// ahead tells whether a version is newer than the watch, which is at a resourceVersion.
func (k *known) ahead(v *version, watch string) bool {
	if v.read.IsZero() || k.now().Sub(v.read) > overtaken {
		return false
	}
	order, err := resourceversion.CompareResourceVersion(v.stream.ResourceVersion, watch)
	return err == nil && order > 0
}

// newer tells whether a is a newer version than b. Of versions that cannot be compared
// the one that arrives last counts.
func newer(a, b *imagev1.ImageStream) bool {
	order, err := resourceversion.CompareResourceVersion(a.ResourceVersion, b.ResourceVersion)
	return err == nil && order > 0
}

// The watch writes into known as into any store.
var _ cache.TransformingStore = (*known)(nil)

// Transformer implements cache.TransformingStore: nothing is held in full, not even
// while all streams are being read.
func (k *known) Transformer() cache.TransformFunc {
	return func(obj any) (any, error) {
		if s, ok := obj.(*imagev1.ImageStream); ok {
			trim(s)
		}
		return obj, nil
	}
}

// Add implements cache.ReflectorStore.
func (k *known) Add(obj any) error { return k.Update(obj) }

// Update implements cache.ReflectorStore.
func (k *known) Update(obj any) error {
	s, err := asStream(obj)
	if err != nil {
		return err
	}
	trim(s)
	k.mu.Lock()
	replaced := k.watched(s)
	k.mu.Unlock()
	k.tell(idOfStream(s), replaced)
	k.tellChanged(idOfStream(s))
	return nil
}

// Delete implements cache.ReflectorStore. The object has the version of its deletion.
func (k *known) Delete(obj any) error {
	s, err := asStream(obj)
	if err != nil {
		return err
	}
	id := idOfStream(s)
	k.mu.Lock()
	var uid types.UID
	if v := k.streams[id]; v != nil && !k.ahead(v, s.ResourceVersion) {
		uid = k.remove(id)
	}
	k.mu.Unlock()
	k.tell(id, uid)
	return nil
}

// Replace implements cache.ReflectorStore: these are all streams there are.
func (k *known) Replace(list []any, resourceVersion string) error {
	listed := make(map[types.NamespacedName]struct{}, len(list))
	gone := map[types.NamespacedName]types.UID{}
	k.mu.Lock()
	for _, obj := range list {
		s, err := asStream(obj)
		if err != nil {
			k.mu.Unlock()
			return err
		}
		trim(s)
		listed[idOfStream(s)] = struct{}{}
		if replaced := k.watched(s); replaced != "" {
			gone[idOfStream(s)] = replaced
		}
	}
	for id, v := range k.streams {
		if _, found := listed[id]; !found && !k.ahead(v, resourceVersion) {
			gone[id] = k.remove(id)
		}
	}
	k.mu.Unlock()
	k.complete.Store(true)
	for id, uid := range gone {
		k.tell(id, uid)
	}
	k.tellChanged(slices.Collect(maps.Keys(listed))...)
	return nil
}

// Resync implements cache.ReflectorStore.
func (k *known) Resync() error { return nil }

func asStream(obj any) (*imagev1.ImageStream, error) {
	s, ok := obj.(*imagev1.ImageStream)
	if !ok {
		return nil, fmt.Errorf("watching image streams: got a %T", obj)
	}
	return s, nil
}
