package blobstore_test

import (
	"strings"
	"testing"
	"time"

	"weir.dev/weir/internal/blobstore"
)

func testScrubPosition(t *testing.T, st storage) {
	s, ctx := storeOf(t, st.driver), t.Context()
	want := func(want blobstore.ScrubPosition) {
		t.Helper()
		if got, err := s.ScrubPosition(ctx); err != nil || got != want {
			t.Errorf("%+v, %v, want %+v", got, err, want)
		}
	}
	want(blobstore.ScrubPosition{})
	started := time.Date(2026, 11, 27, 12, 0, 0, 1, time.UTC)
	for _, position := range []blobstore.ScrubPosition{
		{RoundStarted: started},
		{RoundStarted: started, After: "/docker/registry/v2/blobs/x"},
		{RoundStarted: started, After: "/docker/registry/v2/blobs/x", Finished: started.Add(time.Hour)},
	} {
		must(t, s.SetScrubPosition(ctx, position))
		want(position)
	}
	for _, damage := range []string{"", "{", "[]", `{"after":"x","roundStarted":1}`, strings.Repeat(" ", 70_000) + "{}"} {
		must(t, st.driver.PutContent(ctx, "/docker/registry/v2/_scrub", []byte(damage)))
		want(blobstore.ScrubPosition{})
	}
}
