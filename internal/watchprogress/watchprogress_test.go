package watchprogress

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/metadata"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/apiserver/pkg/features"
	"k8s.io/apiserver/pkg/storage"
	utilfeature "k8s.io/apiserver/pkg/util/feature"
)

// waiting is a store whose lists and watches take a time, and that counts the requests for progress.
type waiting struct {
	storage.Interface
	takes    time.Duration
	requests atomic.Int64
	source   atomic.Value
}

var errWaited = errors.New("waited")

func (w *waiting) GetList(context.Context, string, storage.ListOptions, runtime.Object) error {
	<-time.After(w.takes)
	return errWaited
}

func (w *waiting) Watch(context.Context, string, storage.ListOptions) (watch.Interface, error) {
	<-time.After(w.takes)
	return nil, errWaited
}

func (w *waiting) RequestWatchProgress(ctx context.Context) error {
	sent, _ := metadata.FromOutgoingContext(ctx)
	w.source.Store(sent["source"])
	w.requests.Add(1)
	return errors.New("not now")
}

func TestProgressIsRequestedWhileAListWaits(t *testing.T) {
	yes := true
	list := func(o storage.ListOptions) func(store) error {
		return func(s store) error { return s.GetList(t.Context(), "", o, nil) }
	}
	watches := func(o storage.ListOptions) func(store) error {
		return func(s store) error { _, err := s.Watch(t.Context(), "", o); return err }
	}
	for name, test := range map[string]struct {
		takes time.Duration
		do    func(store) error
		want  int64
	}{
		"at once":                 {0, list(storage.ListOptions{}), 0},
		"soon":                    {2 * time.Millisecond, list(storage.ListOptions{}), 1},
		"for long":                {time.Minute, list(storage.ListOptions{}), 7},
		"any version":             {time.Minute, list(storage.ListOptions{ResourceVersion: "0"}), 0},
		"a further page":          {time.Minute, list(storage.ListOptions{Predicate: storage.SelectionPredicate{Continue: "x"}}), 0},
		"watch":                   {time.Minute, watches(storage.ListOptions{}), 0},
		"watch with a list":       {2 * time.Millisecond, watches(storage.ListOptions{SendInitialEvents: &yes}), 1},
		"watch with any old list": {time.Minute, watches(storage.ListOptions{SendInitialEvents: &yes, ResourceVersion: "0"}), 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				inner := &waiting{takes: test.takes}
				if err := test.do(store{inner}); !errors.Is(err, errWaited) {
					t.Errorf("error %v, want that of the store", err)
				}
				if got := inner.requests.Load(); got != test.want {
					t.Errorf("%d requests, want %d", got, test.want)
				}
				var want []string
				if utilfeature.DefaultFeatureGate.Enabled(features.SeparateCacheWatchRPC) {
					want = []string{"cache"}
				}
				if source, _ := inner.source.Load().([]string); test.want > 0 && !slices.Equal(source, want) {
					t.Errorf("source %q, want that of the cache's watch, %q", source, want)
				}
			})
		})
	}
}
