package stream

import (
	"fmt"
	"strings"
	"testing"

	imagev1 "github.com/openshift/api/image/v1"
)

// ofSize is a stream that takes that many bytes, give or take three, beside conditions.
func ofSize(bytes int) *imagev1.ImageStream {
	s := withStatus(streamOf(), history("a", event("r", "i", 1, at(1))))
	s.Annotations = map[string]string{"filler": ""}
	s.Annotations["filler"] = strings.Repeat("x", max(bytes-s.Size(), 0))
	for s.Size() > bytes {
		s.Annotations["filler"] = s.Annotations["filler"][1:]
	}
	return s
}

func withConditions(s *imagev1.ImageStream, n, bytes int) *imagev1.ImageStream {
	for i := range n {
		ensureStatusTag(s, fmt.Sprint("c", i)).Conditions = []imagev1.TagEventCondition{failed("Invalid", strings.Repeat("x", bytes/n), 1, at(1))}
	}
	return s
}

func TestCheckSize(t *testing.T) {
	for _, test := range []struct {
		name   string
		s, old *imagev1.ImageStream
		want   int // the limit that is exceeded
	}{
		{"new and small", ofSize(100), nil, 0},
		{"new and as large as it can be", ofSize(MaxBytes), nil, 0},
		{"new and too large", ofSize(MaxBytes + 10), nil, MaxBytes},
		{"grown", ofSize(MaxBytes + 10), ofSize(MaxBytes), MaxBytes},
		{"too large before and after", ofSize(MaxBytes + 10), ofSize(MaxBytes + 10), 0},
		{"too large and shorter", ofSize(MaxBytes + 10), ofSize(MaxBytes + 20), 0},
		{"too large and larger", ofSize(MaxBytes + 20), ofSize(MaxBytes + 10), MaxBytes},
		{"full, with a condition", withConditions(ofSize(MaxBytes-100), 1, 1000), ofSize(MaxBytes - 100), 0},
		{"full, with many conditions", withConditions(ofSize(MaxBytes-1000), 10, conditionBytes+1), ofSize(MaxBytes - 1000), MaxBytes + conditionBytes},
		{"fewer of too many conditions", withConditions(ofSize(1000), 9, conditionBytes+1), withConditions(ofSize(1000), 10, conditionBytes+1000), 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			err := CheckSize(test.s, test.old)
			if (err == nil) != (test.want == 0) || err != nil && err.Max != test.want {
				t.Fatalf("got %v, want a limit of %d", err, test.want)
			}
			if err != nil && (!strings.Contains(err.Error(), "exceeds the maximum limit") || !strings.Contains(err.Error(), fmt.Sprint(test.want))) {
				t.Errorf("text %q", err)
			}
		})
	}
}

// TestWhatIsAllowedFitsStorage: the API server's etcd client sends 2 MiB at most.
func TestWhatIsAllowedFitsStorage(t *testing.T) {
	const sent, keysAndFraming = 2 << 20, 64 << 10
	if MaxBytes+conditionBytes+keysAndFraming > sent {
		t.Errorf("a stream can take %d bytes, etcd's client sends %d", MaxBytes+conditionBytes, sent)
	}
}
