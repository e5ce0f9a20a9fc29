package main

import (
	"fmt"
	"io"
	"slices"
	"time"
)

// report collects the rows of the table.
type report struct{ rows []row }

type row struct{ what, weir, floor, ratio, aim string }

func (r *report) add(what, weir, floor, ratio, aim string) {
	r.rows = append(r.rows, row{what, weir, floor, ratio, aim})
}

func (r *report) print(w io.Writer) {
	fmt.Fprintln(w, "| what | Weir | floor or peer | ratio | aim |")
	fmt.Fprintln(w, "|---|---|---|---|---|")
	for _, row := range r.rows {
		fmt.Fprintf(w, "| %s | %s | %s | %s | %s |\n", row.what, row.weir, row.floor, row.ratio, row.aim)
	}
}

func median[T ~int64 | ~float64](values []T) T {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[len(sorted)/2]
}

func millis(d time.Duration) string { return fmt.Sprintf("%.1f ms", float64(d.Microseconds())/1000) }

func perSecond(n float64) string { return fmt.Sprintf("%.0f/s", n) }

// ratios is the median of a/b, pair by pair: what was measured in turn shares the
// machine's mood.
func ratios(a, b []float64) string {
	pairs := make([]float64, len(a))
	for i := range a {
		pairs[i] = a[i] / b[i]
	}
	return fmt.Sprintf("%.2f×", median(pairs))
}

func seconds(ds []time.Duration) []float64 {
	out := make([]float64, len(ds))
	for i, d := range ds {
		out[i] = d.Seconds()
	}
	return out
}
