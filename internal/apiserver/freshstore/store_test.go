package freshstore

import (
	"context"
	"errors"
	"testing"

	imagev1 "github.com/openshift/api/image/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/storage"
)

// twoStores has what the watch cache has, "" for nothing, and what etcd has, by resourceVersion.
type twoStores struct {
	storage.Interface
	cache, etcd string
	readEtcd    int
}

var errNone = errors.New("not found")

func (s *twoStores) Versioner() storage.Versioner { return storage.APIObjectVersioner{} }

func (s *twoStores) Get(_ context.Context, _ string, opts storage.GetOptions, into runtime.Object) error {
	version := s.cache
	if opts.ResourceVersion == "" {
		s.readEtcd++
		version = s.etcd
	}
	if version == "" {
		return errNone
	}
	into.(*imagev1.ImageStream).ResourceVersion = version
	return nil
}

func TestGet(t *testing.T) {
	for name, test := range map[string]struct {
		cache, etcd, since string
		want               string
		readEtcd           int
	}{
		"the cache is current":     {"5", "5", "", "5", 0},
		"the cache is behind":      {"5", "6", "", "6", 1},
		"deleted since":            {"5", "", "", "", 1},
		"made since":               {"", "6", "", "6", 1},
		"nothing at all":           {"", "", "", "", 1},
		"an old version will do":   {"5", "6", "0", "5", 0},
		"etcd does not answer now": {"5", "unreachable", "", "unreachable", 1},
	} {
		t.Run(name, func(t *testing.T) {
			inner := &twoStores{cache: test.cache, etcd: test.etcd}
			s := store{inner, func() runtime.Object { return &imagev1.ImageStream{} }, func(_ context.Context, key string, revision uint64) bool {
				return key == "/registry/streams/s" && test.etcd == "5" && revision == 5
			}, "/registry"}
			var got imagev1.ImageStream
			err := s.Get(t.Context(), "/streams/s", storage.GetOptions{ResourceVersion: test.since}, &got)
			if (err == nil) != (test.want != "") || got.ResourceVersion != test.want || inner.readEtcd != test.readEtcd {
				t.Errorf("version %q, %v, after %d reads of etcd; want %q after %d", got.ResourceVersion, err, inner.readEtcd, test.want, test.readEtcd)
			}
		})
	}
}
