package standalone

import (
	"os"
	"runtime/debug"
)

// garbagePercent is how much garbage may pile up, in percent of the heap in use, before
// it is collected. Go's default is 100. Most of a server's heap are caches of what is in
// etcd, which lives long: half as much garbage costs little time and, with 50,000
// Images, half a gigabyte less (docs/performance.md).
const garbagePercent = 50

// CollectSooner has the process collect garbage sooner than Go does by itself, unless
// its environment sets GOGC.
func CollectSooner() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(garbagePercent)
	}
}
