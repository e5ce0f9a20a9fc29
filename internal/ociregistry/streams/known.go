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
	// freshFor is how long a NotFound of the API is cached,
	// and for how long a stream that nothing watches.
	freshFor = 250 * time.Millisecond
	// maxWatchLag is how long what was read from the API may be ahead of the watch. A watch
	// that still has older versions then is right: the API's storage was put back.
	maxWatchLag = time.Minute
)

// version is a version of a stream. Both are immutable.
type version struct {
	stream *imagev1.ImageStream
	// seq grows with every new version of any stream.
	seq uint64
	// read is when it was read from the API, ahead of the watch; zero once the watch has
	// delivered it.
	read time.Time
	// since is when this process first saw it.
	since time.Time
	// stale is true if this process wrote the stream and could not read it back.
	stale bool
}

// known has the newest version of every stream, from the watch or from a later read.
type known struct {
	now func() time.Time
	// removed is called, without locks held, for each deleted stream.
	removed func(types.NamespacedName, types.UID)
	// changed is called, without locks held, for each version from the watch.
	changed func(types.NamespacedName, *version)

	mu      sync.RWMutex
	streams map[types.NamespacedName]*version
	copiers copiers
	seq     uint64

	complete atomic.Bool   // the watch has delivered all streams
	names    atomic.Uint64 // grows when a stream is created, deleted or changes its repository name
}

func newKnown(now func() time.Time) *known {
	return &known{now: now, streams: map[types.NamespacedName]*version{}, copiers: copiers{}, removed: func(types.NamespacedName, types.UID) {}, changed: func(types.NamespacedName, *version) {}}
}

func (k *known) synced() bool { return k.complete.Load() }

// get returns the cached stream, nil if there is none, and whether it is known to be current. If
// not, the caller must read it from the API.
func (k *known) get(id types.NamespacedName) (v *version, sure bool) {
	k.mu.RLock()
	v = k.streams[id]
	k.mu.RUnlock()
	if v == nil || v.stale {
		return v, false
	}
	watched := v.read.IsZero() || k.synced()
	return v, watched || k.now().Sub(v.read) < freshFor
}

// put adds a stream that was read from the API at a time.
func (k *known) put(s *imagev1.ImageStream, at time.Time) {
	trim(s)
	id := idOfStream(s)
	k.mu.Lock()
	var replaced types.UID
	if now := k.streams[id]; now == nil || !newer(now.stream, s) {
		replaced = k.set(id, s, at)
	}
	k.mu.Unlock()
	k.notifyRemoved(id, replaced)
}

// notifyRemoved calls removed unless the UID is "".
func (k *known) notifyRemoved(id types.NamespacedName, uid types.UID) {
	if uid != "" {
		k.removed(id, uid)
	}
}

// notifyChanged calls changed with the current versions.
func (k *known) notifyChanged(ids ...types.NamespacedName) {
	for _, id := range ids {
		if v, _ := k.get(id); v != nil {
			k.changed(id, v)
		}
	}
}

// deleted notes that the API had no such stream at a time. A version seen after that may be
// newer; if it is not, the watch will deliver its deletion.
func (k *known) deleted(id types.NamespacedName, at time.Time) {
	k.mu.Lock()
	v := k.streams[id]
	var uid types.UID
	if v != nil && !v.since.After(at) {
		uid = k.remove(id)
	}
	k.mu.Unlock()
	k.notifyRemoved(id, uid)
}

// invalidate makes the next reader read the stream from the API.
func (k *known) invalidate(id types.NamespacedName) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if v := k.streams[id]; v != nil {
		stale := *v
		stale.stale = true
		k.streams[id] = &stale
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

// copiersOf returns the streams that have copies from a repository, in no order.
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

// set makes s the version of the stream; the caller holds the lock. read is zero for versions from
// the watch. An equal version stays the same object, so that data derived from it stays valid. A
// read from the API clears stale. replaced is the UID of another stream that had the name.
func (k *known) set(id types.NamespacedName, s *imagev1.ImageStream, read time.Time) (replaced types.UID) {
	v := &version{stream: s, read: read, since: k.now()}
	old := k.streams[id]
	if old == nil || repositoryOf(old.stream) != repositoryOf(s) {
		k.names.Add(1)
	}
	if old != nil {
		v.stale = old.stale && read.IsZero()
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

// watched adds a version from the watch, unless a read is ahead of it. The caller holds the lock.
// replaced is that of set.
func (k *known) watched(s *imagev1.ImageStream) (replaced types.UID) {
	id := idOfStream(s)
	if now := k.streams[id]; now == nil || !k.ahead(now, s.ResourceVersion) {
		return k.set(id, s, time.Time{})
	}
	return ""
}

// ahead reports whether a version is newer than the watch, which is at a resourceVersion.
func (k *known) ahead(v *version, watch string) bool {
	if v.read.IsZero() || k.now().Sub(v.read) > maxWatchLag {
		return false
	}
	order, err := resourceversion.CompareResourceVersion(v.stream.ResourceVersion, watch)
	return err == nil && order > 0
}

// newer reports whether a is a newer version than b. If the versions cannot be compared, the
// later arrival is newer.
func newer(a, b *imagev1.ImageStream) bool {
	order, err := resourceversion.CompareResourceVersion(a.ResourceVersion, b.ResourceVersion)
	return err == nil && order > 0
}

// The watch writes into known as into any store.
var _ cache.TransformingStore = (*known)(nil)

// Transformer implements cache.TransformingStore, so that untrimmed streams are not kept in
// memory even during the initial list.
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
	k.notifyRemoved(idOfStream(s), replaced)
	k.notifyChanged(idOfStream(s))
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
	k.notifyRemoved(id, uid)
	return nil
}

// Replace implements cache.ReflectorStore. The list has all streams.
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
		k.notifyRemoved(id, uid)
	}
	k.notifyChanged(slices.Collect(maps.Keys(listed))...)
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
