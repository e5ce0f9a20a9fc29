package standalone

import (
	"os"
	"runtime/debug"
)

// garbagePercent is how much garbage may pile up, in percent of the heap in use, before
// it is collected. Go's default is 100. Most of a server's heap are caches of what is in
// etcd, which lives long. With 50,000 Images half as much garbage was half a gigabyte
// less, and a tenth fewer GETs a second, in one run each (docs/performance.md).
const garbagePercent = 50

// CollectSooner has the process collect garbage sooner than Go does by itself, unless
// its environment sets GOGC.
func CollectSooner() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(garbagePercent)
	}
}
