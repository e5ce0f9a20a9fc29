package registryserver

import (
	storagedriver "github.com/distribution/distribution/v3/registry/storage/driver"

	"weir.dev/weir/internal/diskspace"
)

// The reserve is 5 % of the disk, at most a gigabyte, unless it is configured.
const reservePercent, maxReserve = 5, 1 << 30

// newReserve keeps space free on the disk of the storage. It is nil for storage that is no folder.
func (r *Registry) newReserve(driver storagedriver.StorageDriver) (*diskspace.Reserve, error) {
	folder, ok := driver.(interface{ Root() string })
	if !ok {
		return nil, nil
	}
	root := folder.Root()
	usage, err := diskspace.Measure(root)
	if err != nil {
		return nil, err
	}
	bytes := int64(r.settings().Registry.Storage.Reserve)
	if bytes == 0 {
		bytes = diskspace.Share(usage, reservePercent, 0, maxReserve)
		if r.config.LeastReserve != nil {
			bytes = max(bytes, r.config.LeastReserve(root, usage))
		}
	}
	return diskspace.NewReserve(root, bytes), nil
}
