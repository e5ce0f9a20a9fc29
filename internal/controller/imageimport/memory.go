package imageimport

import (
	"maps"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"weir.dev/weir/internal/stream"
)

// memory is the state of a run between two syncs of a stream. Losing it causes at most an
// early retry.
type memory struct {
	mu sync.Mutex
	// importing counts, by stream, the imports for spec in flight.
	importing map[types.NamespacedName]int
	// asked are the Retry-After pauses of first failures of tags, until their series
	// begins.
	asked map[types.NamespacedName]map[string]time.Duration
	// unwritten are notes that still have to be written.
	unwritten map[types.NamespacedName]notes
	// hurried are tags to retry before their pause is over.
	hurried map[types.NamespacedName]map[string]bool
	// waiting counts the tags in a series.
	waiting map[types.NamespacedName]int
	closed  bool
}

func newMemory() *memory {
	return &memory{
		importing: map[types.NamespacedName]int{},
		asked:     map[types.NamespacedName]map[string]time.Duration{},
		unwritten: map[types.NamespacedName]notes{},
		hurried:   map[types.NamespacedName]map[string]bool{},
		waiting:   map[types.NamespacedName]int{},
	}
}

func (m *memory) beginImport(key types.NamespacedName) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.importing[key]++
}

func (m *memory) endImport(key types.NamespacedName) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.importing[key]--; m.importing[key] == 0 {
		delete(m.importing, key)
	}
}

func (m *memory) isImporting(key types.NamespacedName) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.importing[key] > 0
}

// addAsked adds pauses of tags of a stream.
func (m *memory) addAsked(key types.NamespacedName, asked map[string]time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(asked) == 0 {
		return
	}
	if m.asked[key] == nil {
		m.asked[key] = map[string]time.Duration{}
	}
	maps.Copy(m.asked[key], asked)
}

func (m *memory) dropAsked(key types.NamespacedName) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.asked, key)
}

func (m *memory) takeAsked(key types.NamespacedName, tag string) time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	asked := m.asked[key][tag]
	delete(m.asked[key], tag)
	if len(m.asked[key]) == 0 {
		delete(m.asked, key)
	}
	return asked
}

func (m *memory) addNote(key types.NamespacedName, tag string, retry stream.Retry) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.unwritten[key] == nil {
		m.unwritten[key] = notes{}
	}
	m.unwritten[key][tag] = retry
}

func (m *memory) notes(key types.NamespacedName) notes {
	m.mu.Lock()
	defer m.mu.Unlock()
	return maps.Clone(m.unwritten[key])
}

func (m *memory) dropNotes(key types.NamespacedName) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.unwritten, key)
}

func (m *memory) hurry(key types.NamespacedName, tags []string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.hurried[key] == nil {
		m.hurried[key] = map[string]bool{}
	}
	for _, tag := range tags {
		m.hurried[key][tag] = true
	}
}

func (m *memory) hurriedTags(key types.NamespacedName) map[string]bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return maps.Clone(m.hurried[key])
}

// dropHurried removes retried tags; without tags, all of the stream.
func (m *memory) dropHurried(key types.NamespacedName, tags []string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, tag := range tags {
		delete(m.hurried[key], tag)
	}
	if len(tags) == 0 || len(m.hurried[key]) == 0 {
		delete(m.hurried, key)
	}
}

// setWaiting updates the gauge, which all controllers of the process share.
func (m *memory) setWaiting(key types.NamespacedName, n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return
	}
	retriesPending.Add(float64(n - m.waiting[key]))
	if n == 0 {
		delete(m.waiting, key)
		return
	}
	m.waiting[key] = n
}

// forget removes a deleted stream.
func (m *memory) forget(key types.NamespacedName) {
	m.setWaiting(key, 0)
	m.dropAsked(key)
	m.dropNotes(key)
	m.dropHurried(key, nil)
}

// close subtracts the count of this run from the gauge.
func (m *memory) close() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, n := range m.waiting {
		retriesPending.Add(-float64(n))
	}
	m.waiting, m.closed = nil, true
}
