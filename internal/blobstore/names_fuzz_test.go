package blobstore

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func FuzzNames(f *testing.F) {
	f.Add([]byte(`[{"host":"weir.example","lastSeen":"2026-11-27T12:00:00Z"}]`), "registry.svc:5000")
	f.Add([]byte(`[{"host":"A","lastSeen":"2099-11-27T12:00:00Z"},{"host":"a"},{"host":" "}]`), "a")
	f.Add([]byte(`{`), "[::1]:5000")
	now := time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, content []byte, name string) {
		var known []Name
		_ = json.Unmarshal(content, &known) // what could be read is merged
		merged := mergeNames(known, []string{name}, now)
		if len(merged) > maxNames || !slices.IsSortedFunc(merged, func(a, b Name) int { return strings.Compare(a.Host, b.Host) }) {
			t.Errorf("%d names, or not in order: %v", len(merged), merged)
		}
		if isHost(strings.ToLower(name)) != slices.Contains(merged, Name{strings.ToLower(name), now}) && !slices.ContainsFunc(known, func(n Name) bool { return strings.EqualFold(n.Host, name) }) {
			t.Errorf("%q is kept or lost in %v", name, merged)
		}
		for _, n := range merged {
			if !isHost(n.Host) || n.LastSeen.After(now) {
				t.Errorf("%v is kept", n)
			}
		}
		encoded, err := json.Marshal(merged)
		if err != nil || len(encoded) > maxStateBytes {
			t.Fatalf("%d bytes, %v", len(encoded), err)
		}
		var again []Name
		if err := json.Unmarshal(encoded, &again); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(merged, mergeNames(again, nil, now)); diff != "" {
			t.Error(diff)
		}
	})
}
