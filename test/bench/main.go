// Command bench measures a Weir on this machine and prints the table of
// docs/performance.md: every figure as a ratio to a floor or a peer that was
// measured in the same run, because absolute times of shared machines tell little.
//
//	go run ./test/bench            everything
//	go run ./test/bench -only get,list
//
// The server runs as a process of its own (this program started again), so that
// its memory and processor time can be told apart from the client's. So do what the
// registry is compared with: a server of plain files, and distribution's registry.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"strings"
)

// measurement is one part of the run.
type measurement struct {
	name string
	run  func(context.Context, *report) error
}

func measurements() []measurement {
	return []measurement{
		{"import", measureImports},
		{"get", measureGets},
		{"list", measureLists},
		{"create", measureCreates},
		{"schedule", measureSchedule},
		{"watch", measureWatches},
		{"memory", measureMemory},
		{"blobs", measureBlobs},
		{"manifests", measureManifests},
		{"pushes", measurePushes},
		{"pullthrough", measurePullThrough},
		{"traffic", measureTraffic},
	}
}

func main() {
	if serveIfChild() || serveFilesIfChild() {
		return
	}
	os.Exit(run())
}

// run measures what the flags name and returns the exit code.
func run() int {
	profile := flag.String("profile", "", "write a processor profile of each part's server, from its start on, to this file")
	flag.IntVar(&profileSeconds, "profile-seconds", profileSeconds, "for how long each server is profiled")
	only := flag.String("only", "", "comma-separated parts to run; all when empty")
	flag.IntVar(&pushImages, "pushes", pushImages, "images that are pushed at each concurrency")
	flag.StringVar(&distributionBinary, "distribution", "", "program of distribution's registry; $WEIR_BENCH_DISTRIBUTION, or built from its module, when empty")
	flag.Parse()
	profileFile = *profile
	defer func() {
		for _, dir := range removeAtEnd {
			_ = os.RemoveAll(dir)
		}
	}()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	r := &report{}
	for _, m := range measurements() {
		if *only != "" && !strings.Contains(","+*only+",", ","+m.name+",") {
			continue
		}
		fmt.Fprintln(os.Stderr, "measuring", m.name)
		if err := m.run(ctx, r); err != nil {
			fmt.Fprintf(os.Stderr, "measuring %s: %v\n", m.name, err)
			return 1
		}
	}
	fmt.Printf("%s, %d processors, %s/%s\n\n", runtime.Version(), runtime.NumCPU(), runtime.GOOS, runtime.GOARCH)
	r.print(os.Stdout)
	return 0
}
