package etcd

import (
	"cmp"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"weir.dev/weir/internal/diskspace"
	"weir.dev/weir/internal/settings"
)

// Settings is the section etcd of the configuration file: the embedded etcd.
type Settings struct {
	// Reserve is kept free on the disk of the data folder: with less, writes that take room are
	// refused. Default 0: 5 % of the disk, from 64Mi to 512Mi. Otherwise at least 64Mi.
	Reserve settings.Size `json:"reserve"`
	// Quota is the most that the database may have in use. At least 32Mi. Default 8Gi.
	Quota settings.Size `json:"quota"`
}

const (
	minReserve = 64 << 20 // for etcd to go on when the disk is full otherwise
	minQuota   = 32 << 20
)

// DefaultSettings returns the defaults.
func DefaultSettings() Settings { return Settings{Quota: defaultQuota} }

// Validate returns every mistake in the section at path.
func (s *Settings) Validate(path *field.Path) field.ErrorList {
	var c settings.Checks
	if s.Reserve != 0 {
		c.SizeFrom(path.Child("reserve"), s.Reserve, minReserve)
	}
	c.SizeFrom(path.Child("quota"), s.Quota, minQuota)
	return c.Errors()
}

// ReserveOn returns the bytes that are kept free on a disk.
func (s *Settings) ReserveOn(u diskspace.Usage) int64 {
	return cmp.Or(int64(s.Reserve), diskspace.Share(u, 5, minReserve, 512<<20))
}
