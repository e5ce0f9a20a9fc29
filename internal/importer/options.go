package importer

import (
	"fmt"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"weir.dev/weir/internal/caches"
	"weir.dev/weir/internal/imageapi"
	"weir.dev/weir/internal/settings"
	"weir.dev/weir/internal/upstream"
)

// Options configure an Importer: settings of the section imports of the configuration file, and
// what the process adds. Start from DefaultOptions.
type Options struct {
	// DefaultPlatform is the preferred platform of a Legacy import of a manifest list, if neither
	// the tag nor the request names one.
	DefaultPlatform Platform `json:"defaultPlatform"`
	// Concurrency is the number of calls of one import in flight to one registry host; over all
	// hosts it may have ten times as many. Default 10.
	Concurrency int `json:"concurrency"`
	// Timeout bounds one import as a whole. Tags that are not finished then fail with a status
	// that says so; finished ones stay. Default 10m.
	Timeout metav1.Duration `json:"timeout"`
	// Limits bound the content of registries.
	Limits Limits `json:"limits"`

	// Registries are the sources of images.
	Registries Registries `json:"-"`
	// Caches bound the memory for what is remembered between imports, beside the bounds of each
	// cache; nil is without such a bound.
	Caches *caches.Pool `json:"-"`
	// Now is the clock, for the creation time of lists.
	Now func() time.Time `json:"-"`
}

// Limits bound the content of registries. Every excess fails the tag concerned, with a status that
// names the limit.
type Limits struct {
	// Client are the limits of single responses.
	Client upstream.Limits `json:",inline"`
	// ImageSize is the largest Image as it is stored, without the texts of manifest and config:
	// below what etcd takes in one write. Default 1Mi.
	ImageSize settings.Size `json:"imageSize"`
	// RequestSize bounds the manifests and configs of all tags of one import together. Default
	// 256Mi.
	RequestSize settings.Size `json:"requestSize"`
	// CacheSize is the size of the cache of manifests and configs that all imports of the process
	// share. Default 64Mi.
	CacheSize settings.Size `json:"cacheSize"`
	// ManifestsPerTag is the largest number of manifests of one tag, over all its platforms.
	// Default 1000.
	ManifestsPerTag int `json:"manifestsPerTag"`
	// TagsPerRepository is the number of tags of a repository that are looked at; further ones, in
	// order of priority, are neither imported nor named. Default 50000.
	TagsPerRepository int `json:"tagsPerRepository"`
	// TagSize bounds the manifests and configs of one tag, over all its platforms: a thousand
	// manifests of the usual size with their configs fit many times.
	TagSize settings.Size `json:"-"`
}

// maxListDepth is how deep manifest lists may be nested in a manifest list: tools nest none, or one
// for attestations.
const maxListDepth = 4

// DefaultOptions returns the defaults.
func DefaultOptions() Options {
	return Options{
		Concurrency: 10,
		Timeout:     settings.Duration(10 * time.Minute),
		Limits: Limits{
			Client:            upstream.DefaultLimits(),
			ImageSize:         1 << 20,
			RequestSize:       256 << 20,
			CacheSize:         64 << 20,
			ManifestsPerTag:   1000,
			TagsPerRepository: 50_000,
			TagSize:           64 << 20,
		},
		Now: time.Now,
	}
}

// Validate returns every mistake in the section at path.
func (o *Options) Validate(path *field.Path) field.ErrorList {
	var c settings.Checks
	platform := path.Child("defaultPlatform")
	checkPlatform(&c, platform.Child("os"), o.DefaultPlatform.OS)
	checkPlatform(&c, platform.Child("architecture"), o.DefaultPlatform.Architecture)
	c.Between(path.Child("concurrency"), o.Concurrency, 1, settings.MaxConcurrency)
	c.Positive(path.Child("timeout"), o.Timeout)
	c.Add(o.Limits.validate(path.Child("limits"))...)
	return c.Errors()
}

func (l *Limits) validate(path *field.Path) field.ErrorList {
	var c settings.Checks
	c.Add(l.Client.Validate(path)...)
	c.Size(path.Child("imageSize"), l.ImageSize)
	if l.ImageSize > imageapi.MaxImageBytes {
		c.Invalid(path.Child("imageSize"), l.ImageSize.String(), fmt.Sprintf("must be at most %d bytes: storage takes no more", imageapi.MaxImageBytes))
	}
	c.Size(path.Child("requestSize"), l.RequestSize)
	c.Size(path.Child("cacheSize"), l.CacheSize)
	c.Between(path.Child("manifestsPerTag"), l.ManifestsPerTag, 1, settings.MaxCount)
	c.Between(path.Child("tagsPerRepository"), l.TagsPerRepository, 1, settings.MaxCount)
	return c.Errors()
}

func checkPlatform(c *settings.Checks, path *field.Path, name string) {
	if strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789") != "" {
		c.Invalid(path, name, `must be one of Go's names such as "linux" or "arm64": lower-case letters and digits`)
	}
}
