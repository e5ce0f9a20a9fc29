package blobstore_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	storagedriver "github.com/distribution/distribution/v3/registry/storage/driver"
	"github.com/google/go-cmp/cmp"

	"weir.dev/weir/internal/blobstore"
)

const namesFile = v2 + "/_names"

func testRememberNames(t *testing.T, st storage) {
	s, ctx := storeOf(t, st.driver), t.Context()
	first := time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)
	remember := func(s *blobstore.Store, at time.Time, want []blobstore.Name, names ...string) {
		t.Helper()
		got, err := s.RememberNames(ctx, names, at)
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("%v\n%s", err, diff)
		}
	}
	remember(s, first, []blobstore.Name{})
	if _, err := st.driver.Stat(ctx, namesFile); !errors.As(err, new(storagedriver.PathNotFoundError)) {
		t.Errorf("without a name a file is written: %v", err)
	}
	remember(s, first, []blobstore.Name{{"registry.svc:5000", first}, {"weir.example", first}}, "Weir.Example", "registry.svc:5000", "weir.example")
	later := first.Add(time.Hour)
	want := []blobstore.Name{{"[::1]:5000", later}, {"registry.svc:5000", first}, {"weir.example", later}}
	remember(storeOf(t, st.driver), later.Add(time.Millisecond).In(time.FixedZone("", 3600)), want, "weir.example", "[::1]:5000")
	remember(s, later, want)
	for _, wrong := range []string{"", "a b", "http://x/", "a\x00", "ü", ":5000", ".", strings.Repeat("a", 260)} {
		_, err := s.RememberNames(ctx, []string{"good.example", wrong}, later)
		wantIs(t, err, blobstore.ErrInvalid)
	}
	remember(s, later, want)
	for _, damage := range []string{"", "{", `{"host":"x"}`, "[1]", "null", strings.Repeat(" ", 70_000)} {
		must(t, st.driver.PutContent(ctx, namesFile, []byte(damage)))
		remember(s, later, []blobstore.Name{{"weir.example", later}}, "weir.example")
		remember(s, later, []blobstore.Name{{"weir.example", later}})
	}
}

// testNamesAreBounded has more names than are kept.
func testNamesAreBounded(t *testing.T, st storage) {
	s, ctx := storeOf(t, st.driver), t.Context()
	at := time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)
	var names []blobstore.Name
	var err error
	for i := range 70 {
		at = at.Add(time.Minute)
		names, err = s.RememberNames(ctx, []string{fmt.Sprintf("host-%02d.example", i), "always.example"}, at)
		must(t, err)
	}
	hosts := make([]string, len(names))
	for i, name := range names {
		hosts[i] = name.Host
	}
	if len(hosts) != 64 || !slices.IsSorted(hosts) || hosts[0] != "always.example" || hosts[1] != "host-07.example" || hosts[63] != "host-69.example" {
		t.Errorf("%d names: %q", len(hosts), hosts)
	}
}

// Names that cannot be read are not overwritten.
func TestNamesOfFailingStorage(t *testing.T) {
	driver := failing{StorageDriver: inMemory(t)}
	broken := errors.New("the disk is gone")
	ctx, s := t.Context(), storeOf(t, &driver)
	now := time.Now()
	_, err := s.RememberNames(ctx, []string{"weir.example"}, now)
	must(t, err)
	driver.reading = broken
	_, err = s.RememberNames(ctx, []string{"other.example"}, now)
	wantIs(t, err, broken)
	driver.reading = nil
	if names, err := s.RememberNames(ctx, nil, now); err != nil || len(names) != 1 {
		t.Errorf("%v, %v", names, err)
	}
}

// failing is storage from which nothing can be read for a while.
type failing struct {
	storagedriver.StorageDriver
	reading error
}

func (f *failing) Reader(ctx context.Context, path string, offset int64) (io.ReadCloser, error) {
	if f.reading != nil {
		return nil, f.reading
	}
	return f.StorageDriver.Reader(ctx, path, offset)
}
