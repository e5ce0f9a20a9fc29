package schedule

import (
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"weir.dev/weir/internal/controller/importrequest"
	"weir.dev/weir/internal/settings"
	"weir.dev/weir/internal/stream"
)

// Options configure the controller: the section schedule of the configuration file.
type Options struct {
	// Disabled checks no tags. Default false.
	Disabled bool `json:"disabled"`
	// Interval is the time between two checks of a tag without an interval of its own.
	// Default 15m, that of the reference.
	Interval metav1.Duration `json:"interval"`
	// MinimumInterval is the shortest interval that the annotation of a tag can have, at least
	// 1s. Default 1m.
	MinimumInterval metav1.Duration `json:"minimumInterval"`
	// MaxPerMinute bounds the imports per minute; twice as many may come at once. 0 is twice what
	// the scheduled tags need, and at least 60; -1 is without bound. Default 0.
	MaxPerMinute int `json:"maxPerMinute"`
	// Workers is the number of imports in flight at a time, no more than a quarter of them from
	// one registry. Default 40.
	Workers int `json:"workers"`
	// Timeout is how long the controller waits for the response to an import. It is the setting
	// imports.requestTimeout.
	Timeout metav1.Duration `json:"-"`
}

// DefaultOptions returns the defaults.
func DefaultOptions() Options {
	return Options{
		Interval:        settings.Duration(15 * time.Minute),
		MinimumInterval: settings.Duration(time.Minute),
		Workers:         40,
		Timeout:         settings.Duration(importrequest.DefaultTimeout),
	}
}

// Intervals returns the intervals of scheduled tags.
func (o *Options) Intervals() stream.Intervals {
	return stream.Intervals{Default: o.Interval.Duration, Minimum: o.MinimumInterval.Duration}
}

// Validate returns every mistake in the section at path.
func (o *Options) Validate(path *field.Path) field.ErrorList {
	var c settings.Checks
	if o.MinimumInterval.Duration < time.Second {
		c.Invalid(path.Child("minimumInterval"), o.MinimumInterval.Duration.String(), "must be at least 1s")
	}
	if o.Interval.Duration < o.MinimumInterval.Duration {
		c.Invalid(path.Child("interval"), o.Interval.Duration.String(), "must not be less than minimumInterval")
	}
	if o.MaxPerMinute != 0 { // follows from the scheduled tags
		c.CountOrUnlimited(path.Child("maxPerMinute"), o.MaxPerMinute)
	}
	c.Between(path.Child("workers"), o.Workers, 1, settings.MaxConcurrency)
	return c.Errors()
}
