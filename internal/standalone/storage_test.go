package standalone

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	storagedriver "github.com/distribution/distribution/v3/registry/storage/driver"
	"github.com/distribution/distribution/v3/registry/storage/driver/inmemory"

	"weir.dev/weir/internal/blobstore"
)

// Storage that cannot be used is reported at the start, with its name: a wrong bucket, a wrong
// key, and an endpoint where nothing listens.
func TestWrongStorageDoesNotStart(t *testing.T) {
	away := httptest.NewServer(nil)
	away.Close()
	for name, test := range map[string]struct {
		endpoint, want string
	}{
		"bucket":   {refusingS3(t, http.StatusNotFound, "NoSuchBucket"), "NoSuchBucket"},
		"key":      {refusingS3(t, http.StatusForbidden, "InvalidAccessKeyId"), "InvalidAccessKeyId"},
		"endpoint": {away.URL, "connection refused"},
	} {
		t.Run(name, func(t *testing.T) {
			o := NewOptions()
			o.DataDir = t.TempDir()
			o.ConfigFile = filepath.Join(o.DataDir, "weir.yaml")
			text := fmt.Sprintf("apiVersion: config.weir.dev/v1alpha1\nkind: WeirConfiguration\nregistry: {storage: {driver: s3, parameters: "+
				"{bucket: nowhere, regionendpoint: '%s', forcepathstyle: true, secure: false, accesskey: AKID, secretkey: a-secret-key}}}\n", test.endpoint)
			if err := os.WriteFile(o.ConfigFile, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			o.Registry.Port = 0
			o.Host.ControlPlane.SecureServing.BindPort = 0
			s, err := New(t.Context(), o)
			if err == nil {
				s.Close()
				t.Fatal("it starts")
			}
			for _, want := range []string{"storage s3", `bucket "nowhere" at ` + test.endpoint, test.want} {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%v\nlacks %q", err, want)
				}
			}
			if strings.Contains(err.Error(), "\n") || strings.Contains(err.Error(), "a-secret-key") {
				t.Errorf("several lines, or a secret: %v", err)
			}
		})
	}
}

// refusingS3 is an S3 server that answers one error to everything.
func refusingS3(t *testing.T, status int, code string) (url string) {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		fmt.Fprintf(w, "<Error><Code>%s</Code><Message>no</Message></Error>", code)
	}))
	t.Cleanup(server.Close)
	return server.URL
}

// awayDriver is storage that answers, or does not.
type awayDriver struct {
	storagedriver.StorageDriver
	err error
}

func (d *awayDriver) Stat(ctx context.Context, path string) (storagedriver.FileInfo, error) {
	if d.err != nil {
		return nil, d.err
	}
	return d.StorageDriver.Stat(ctx, path)
}

// The check of /readyz turns red while storage does not answer, and green again.
func TestStorageHealth(t *testing.T) {
	driver := &awayDriver{StorageDriver: inmemory.New()}
	store, err := blobstore.New(blobstore.Options{Driver: driver})
	if err != nil {
		t.Fatal(err)
	}
	o := NewOptions()
	o.Config.Registry.Storage.Driver = "inmemory"
	r := &registry{options: o, store: store}
	for _, cause := range []error{nil, errors.New("away"), errors.New("away"), nil} {
		driver.err = cause
		r.lookIntoStorage(t.Context())
		err := r.health.Check(nil)
		if (err == nil) != (cause == nil) || err != nil && (!errors.Is(err, cause) || !strings.Contains(err.Error(), "storage inmemory")) {
			t.Errorf("with %v: %v", cause, err)
		}
	}
}

// Full storage keeps nothing from starting.
func TestFullStorageStarts(t *testing.T) {
	store, err := blobstore.New(blobstore.Options{Driver: &fullDriver{inmemory.New()}})
	if err != nil {
		t.Fatal(err)
	}
	o := NewOptions()
	o.Config.Registry.InternalHostname = "weir:5000"
	r := &registry{options: o, store: store}
	if err := r.openNames(t.Context()); err != nil {
		t.Error(err)
	}
	if len(r.names) != 1 {
		t.Errorf("the names are %v", r.names)
	}
}

type fullDriver struct{ storagedriver.StorageDriver }

func (*fullDriver) PutContent(context.Context, string, []byte) error {
	return os.NewSyscallError("write", syscall.ENOSPC)
}
