package main

import (
	"bytes"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestSlowStartIsAnnounced(t *testing.T) {
	for name, test := range map[string]struct {
		takes time.Duration
		want  bool
	}{
		"a quick start": {slowStart / 2, false},
		"a slow start":  {2 * slowStart, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var out bytes.Buffer
				started := announceSlowStart(&out, slowStart, "weir-data")
				<-time.After(test.takes)
				started()
				<-time.After(2 * slowStart)
				if got := strings.Count(out.String(), "weir-data"); (got == 1) != test.want || got > 1 {
					t.Errorf("printed %q", out.String())
				}
			})
		})
	}
}
