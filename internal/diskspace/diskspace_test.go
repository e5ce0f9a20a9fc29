package diskspace

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// measurements counts how often a disk is measured, which has what usage says.
type measurements struct {
	usage Usage
	err   error
	count int
}

func (m *measurements) measure(string) (Usage, error) {
	m.count++
	return m.usage, m.err
}

func newReserve(m *measurements, bytes int64) (*Reserve, *time.Time) {
	now := time.Unix(1000, 0)
	r := NewReserve("/data", bytes)
	r.measure, r.now = m.measure, func() time.Time { return now }
	return r, &now
}

func TestAdmit(t *testing.T) {
	for _, test := range []struct {
		name  string
		usage Usage
		bytes int64
		want  string
	}{
		{"room", Usage{Free: 200, Total: 1000}, 100, ""},
		{"one byte too many", Usage{Free: 200, Total: 1000}, 101, "200 free, and its reserve is 100"},
		{"less than the reserve", Usage{Free: 99, Total: 1000}, 0, "the disk of /data has 99 free"},
		{"inodes are not limited", Usage{Free: 200}, 0, ""},
		{"hardly any inodes", Usage{Free: 200, FreeInodes: 9, TotalInodes: 1000}, 0, "9 of 1000 inodes"},
		{"inodes enough", Usage{Free: 200, FreeInodes: 10, TotalInodes: 1000}, 0, ""},
		{"inodes enough of many", Usage{Free: 200, FreeInodes: 5000, TotalInodes: 1 << 40}, 0, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			r, _ := newReserve(&measurements{usage: test.usage}, 100)
			err := r.Admit(test.bytes)
			if (err == nil) != (test.want == "") || err != nil && (!strings.Contains(err.Error(), test.want) || !IsLow(err)) {
				t.Errorf("Admit(%d) = %v, want %q", test.bytes, err, test.want)
			}
		})
	}
}

// What was admitted counts before it is on the disk, and the disk is not measured for every
// piece of an upload.
func TestAdmitCountsWhatItAdmitted(t *testing.T) {
	m := &measurements{usage: Usage{Free: 1000}}
	r, now := newReserve(m, 100)
	for range 9 {
		if err := r.Admit(100); err != nil {
			t.Fatal(err)
		}
	}
	if m.count != 1 {
		t.Errorf("the disk was measured %d times for nine pieces", m.count)
	}
	m.usage.Free = 150
	if err := r.Admit(100); !IsLow(err) {
		t.Errorf("the tenth piece: %v", err)
	}
	m.usage.Free = 500 // somebody has made room
	if err := r.Admit(100); err != nil {
		t.Errorf("with room again: %v", err)
	}
	before := m.count
	*now = now.Add(time.Second)
	if err := r.Admit(1); err != nil || m.count != before+1 {
		t.Errorf("an old measurement: %v, measured %d times", err, m.count-before)
	}
}

func TestUnmeasurable(t *testing.T) {
	cause := errors.New("stale")
	r, _ := newReserve(&measurements{err: cause}, 100)
	if err := r.Admit(1); err != nil {
		t.Errorf("Admit on a disk that cannot be measured: %v", err)
	}
	if _, err := r.Check(); !errors.Is(err, cause) {
		t.Errorf("Check = %v", err)
	}
}

func TestMeasure(t *testing.T) {
	dir := t.TempDir()
	usage, err := Measure(dir)
	if err != nil || usage.Total <= 0 || usage.Free > usage.Total {
		t.Errorf("%+v, %v", usage, err)
	}
	if _, err := Measure(filepath.Join(dir, "missing")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a missing folder: %v", err)
	}
	if !SameDisk(dir, filepath.Dir(dir)) || SameDisk(dir, "/proc") || SameDisk(dir, filepath.Join(dir, "missing")) {
		t.Error("SameDisk is wrong")
	}
}

func TestShareAndBytes(t *testing.T) {
	for total, want := range map[int64]int64{0: 10, 100: 10, 1000: 50, 1 << 40: 900} {
		if got := Share(Usage{Total: total}, 5, 10, 900); got != want {
			t.Errorf("share of %d: %d, want %d", total, got, want)
		}
	}
	for n, want := range map[int64]string{0: "0", 1000: "1000", 2048: "2Ki", 5 << 20: "5Mi", 3 << 29: "1.5Gi", 200 << 30: "200Gi"} {
		if got := Bytes(n); got != want {
			t.Errorf("Bytes(%d) = %s, want %s", n, got, want)
		}
	}
}
