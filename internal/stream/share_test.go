package stream

import (
	"fmt"
	"hash/maphash"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"
	"unsafe"

	imagev1 "github.com/openshift/api/image/v1"
)

// decodedHistory is what a decoder makes of a stream with one tag of n events.
func decodedHistory(t testing.TB, n int) func() *imagev1.ImageStream {
	t.Helper()
	s := streamOf()
	s.Status.Tags = []imagev1.NamedTagEventList{history("a")}
	for i := range n {
		digest := image(fmt.Sprintf("%08x", i))
		s.Status.Tags[0].Items = append(s.Status.Tags[0].Items, event("registry.example.com/team/application@"+digest, digest, 1, at(1)))
	}
	content, err := s.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return func() *imagev1.ImageStream {
		decoded := &imagev1.ImageStream{}
		if err := decoded.Unmarshal(content); err != nil {
			t.Fatal(err)
		}
		return decoded
	}
}

func TestShareEventsChangesNoValue(t *testing.T) {
	for _, e := range []imagev1.TagEvent{
		event("q.io/x@"+id('1'), id('1'), 1, at(1)), event("q.io/x:1", id('1'), 1, at(1)),
		event("q.io/x:1", "", 1, at(1)), event("", id('1'), 1, at(1)), event("", "", 0, at(0)), event("same", "same", 1, at(1)),
	} {
		s := withStatus(streamOf(), history("a", e))
		ShareEvents(s)
		equal(t, "events", []imagev1.TagEvent{e}, s.Status.Tags[0].Items)
	}
}

func TestEventsOfVersionsAreShared(t *testing.T) {
	decode := decodedHistory(t, 3)
	first, second := decode(), decode()
	ShareEvents(first)
	ShareEvents(second)
	for i := range 3 {
		a, b := &first.Status.Tags[0].Items[i], &second.Status.Tags[0].Items[i]
		if unsafe.StringData(a.DockerImageReference) != unsafe.StringData(b.DockerImageReference) || unsafe.StringData(a.Image) != unsafe.StringData(b.Image) {
			t.Errorf("event %d is there twice", i)
		}
	}
}

// TestSharedTextsAreBounded: whatever is decoded, the table holds so many texts and no long ones.
func TestSharedTextsAreBounded(t *testing.T) {
	table := &texts{seed: maphash.MakeSeed()}
	for i := range 3 * sharedSets * sharedWays {
		table.share(fmt.Sprint("text ", i))
	}
	long := strings.Repeat("x", maxShared+1)
	if table.share(long); unsafe.StringData(table.share(strings.Clone(long))) == unsafe.StringData(long) {
		t.Error("a long text is kept")
	}
	again := 0
	for i := range sharedSets {
		text := fmt.Sprint("text ", 3*sharedSets*sharedWays-1-i)
		if unsafe.StringData(table.share(text)) != unsafe.StringData(text) {
			again++
		}
	}
	if again < sharedSets/2 {
		t.Errorf("of the last %d texts %d are shared", sharedSets, again)
	}
}

// BenchmarkResidentVersions: 50 versions of a stream with 2,000 events, as the watch cache keeps
// them. MiB is what stays in memory.
func BenchmarkResidentVersions(b *testing.B) {
	const versions, events = 50, 2000
	decode := decodedHistory(b, events)
	for name, share := range map[string]func(*imagev1.ImageStream){"decoded": func(*imagev1.ImageStream) {}, "shared": ShareEvents} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				before := heapInUse()
				kept := make([]*imagev1.ImageStream, versions)
				for i := range kept {
					kept[i] = decode()
					share(kept[i])
				}
				b.ReportMetric(float64(heapInUse()-before)/(1<<20), "MiB")
				runtime.KeepAlive(kept)
			}
		})
	}
}

// BenchmarkShareEvents compares decoding a stream with decoding and sharing it.
func BenchmarkShareEvents(b *testing.B) {
	decode := decodedHistory(b, 10000)
	kept := decode()
	ShareEvents(kept)
	b.Run("decode", func(b *testing.B) {
		for b.Loop() {
			decode()
		}
	})
	b.Run("decode and share", func(b *testing.B) {
		for b.Loop() {
			ShareEvents(decode())
		}
	})
	runtime.KeepAlive(kept)
}

func heapInUse() int64 {
	debug.FreeOSMemory()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
