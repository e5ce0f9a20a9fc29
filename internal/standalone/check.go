package standalone

import (
	"errors"

	"weir.dev/weir/internal/blobstore/drivers"
	"weir.dev/weir/internal/outbound"
)

// Check reports everything that is wrong with the options and with the files that they name.
// It starts nothing, writes nothing, and contacts neither etcd nor the registry's storage.
func Check(o *Options) error {
	if err := o.complete(); err != nil {
		return err
	}
	storage := o.Config.Registry.Storage
	errs := []error{drivers.Validate(storage.Driver, storage.Parameters)}
	if _, err := o.Config.Registry.Metrics.Secret(); err != nil {
		errs = append(errs, err)
	}
	client, err := outbound.New(o.outboundOptions()) // there is no port to allow
	if err != nil {
		return errors.Join(append(errs, err)...)
	}
	client.Close()
	return errors.Join(errs...)
}
