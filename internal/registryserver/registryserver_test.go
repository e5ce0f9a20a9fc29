package registryserver

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"

	storagedriver "github.com/distribution/distribution/v3/registry/storage/driver"
	"github.com/distribution/distribution/v3/registry/storage/driver/inmemory"

	"weir.dev/weir/internal/blobstore"
	"weir.dev/weir/internal/config"
)

// Imports from the integrated registry go through the address at which it is served.
func TestOwnRegistryIsContactedInAnyCase(t *testing.T) {
	for bind, want := range map[string]string{"127.0.0.1": "[127.0.0.1:PORT]", "0.0.0.0": "[127.0.0.1:PORT [::1]:PORT]"} {
		o := NewOptions()
		o.BindAddress, o.Port = net.ParseIP(bind), 0
		l, err := o.listen()
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		_, port, err := net.SplitHostPort(l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.ReplaceAll(fmt.Sprint((&Registry{listener: l}).Addresses()), port, "PORT"); got != want {
			t.Errorf("served at %s: %s, want %s", bind, got, want)
		}
	}
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
	settings := config.Default()
	settings.Registry.Storage.Driver = "inmemory"
	r := &Registry{config: Config{Settings: settings}, store: store}
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
	settings := config.Default()
	settings.Registry.InternalHostname = "weir:5000"
	r := &Registry{config: Config{Settings: settings}, store: store}
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
