// Command bench measures a Weir on this machine and prints the table of
// docs/performance.md: every figure as a ratio to a floor or a peer that was
// measured in the same run, because absolute times of shared machines tell little.
//
//	go run ./test/bench            everything
//	go run ./test/bench -only get,list
//
// The server runs as a process of its own (this program started again), so that
// its memory and processor time can be told apart from the client's.
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
	}
}

func main() {
	if serveIfChild() {
		return
	}
	profile := flag.String("profile", "", "write a processor profile of the first ten seconds of each part's server to this file")
	only := flag.String("only", "", "comma-separated parts to run; all when empty")
	flag.Parse()
	profileFile = *profile
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
			os.Exit(1)
		}
	}
	fmt.Printf("%s, %d processors, %s/%s\n\n", runtime.Version(), runtime.NumCPU(), runtime.GOOS, runtime.GOARCH)
	r.print(os.Stdout)
}
