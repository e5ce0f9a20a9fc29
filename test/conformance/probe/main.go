// Command probe runs the conformance checks against a registry that is running, and
// prints what it finds:
//
//	go run ./test/conformance/probe -repository team/app -user u -password p http://127.0.0.1:5000
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"time"

	"weir.dev/weir/test/conformance"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	failed, err := run(ctx, os.Args[1:], os.Stdout)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	if failed > 0 {
		os.Exit(1)
	}
}

// run checks one registry and returns how many checks failed.
func run(ctx context.Context, args []string, out io.Writer) (failed int, err error) {
	flags := flag.NewFlagSet("probe", flag.ContinueOnError)
	repository := flags.String("repository", "conformance/one", "repository to push to; names that begin with it are used too")
	second := flags.String("second-repository", "conformance/two", "repository to mount from")
	user := flags.String("user", "", "user name; none means no credentials")
	password := flags.String("password", "", "password or token of the user")
	tokens := flags.Bool("tokens", false, "show the password to the token service of the registry's challenge, not to the registry")
	only := flags.String("only", "", "run the checks whose names begin so")
	seed := flags.Uint64("seed", 0, "repeat random content and walks; 0 picks a seed")
	workers := flags.Int("walk-workers", 0, "goroutines of the random walk; 0 is the suite's own number")
	steps := flags.Int("walk-steps", 0, "steps that each makes; 0 is the suite's own number")
	slow := flags.Duration("slow", 0, "also print checks that took longer")
	if err := flags.Parse(args); err != nil {
		return 0, err
	}
	if flags.NArg() != 1 {
		return 0, fmt.Errorf("usage: probe [flags] URL of the registry; got %d arguments", flags.NArg())
	}
	target := conformance.Target{URL: flags.Arg(0), Repository: *repository, SecondRepository: *second}
	target.Options = conformance.Options{Seed: *seed, WalkWorkers: *workers, WalkSteps: *steps}
	switch {
	case *tokens:
		target.Authorization = conformance.TokenFlow(target.URL, *user, *password)
	case *user != "":
		target.Authorization = conformance.Basic(*user, *password)
	}
	began := time.Now()
	results := conformance.Collect(ctx, target, *only)
	for _, r := range results {
		if len(r.Failures) > 0 {
			failed++
			fmt.Fprintf(out, "FAIL %s\n", r.Name)
			for _, f := range r.Failures {
				fmt.Fprintf(out, "     %s\n", f)
			}
		}
		if *slow > 0 && r.Took > *slow {
			fmt.Fprintf(out, "slow %s: %v\n", r.Name, r.Took.Round(time.Millisecond))
		}
	}
	fmt.Fprintf(out, "%d of %d checks failed, %v\n", failed, len(results), time.Since(began).Round(time.Millisecond))
	return failed, nil
}
