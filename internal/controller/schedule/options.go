package schedule

import (
	"time"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"weir.dev/weir/internal/controller/importrequest"
	"weir.dev/weir/internal/stream"
)

// Options configure the controller. Start from DefaultOptions.
type Options struct {
	// Disabled re-imports nothing.
	Disabled bool
	// Interval is the time between two checks of a tag that names none itself.
	Interval time.Duration
	// MinimumInterval is the least that a tag's annotation can ask for.
	MinimumInterval time.Duration
	// MaxPerMinute bounds the imports per minute; twice as many may come at once.
	// 0 follows from the scheduled tags, at least 60; a negative number is without bound.
	MaxPerMinute int
	// Workers is how many imports are under way at a time.
	Workers int
	// Timeout bounds one import, server side and client side.
	Timeout time.Duration
}

// DefaultOptions are the defaults of the controller. Interval is
// that of the reference.
func DefaultOptions() Options {
	return Options{
		Interval:        15 * time.Minute,
		MinimumInterval: time.Minute,
		Workers:         40,
		Timeout:         importrequest.DefaultTimeout,
	}
}

// Intervals are how often tags are checked.
func (o Options) Intervals() stream.Intervals {
	return stream.Intervals{Default: o.Interval, Minimum: o.MinimumInterval}
}

// Validate reports every mistake at its place below path (schedule).
func (o Options) Validate(path *field.Path) field.ErrorList {
	if o.Disabled {
		return nil
	}
	var errs field.ErrorList
	if o.MinimumInterval < time.Second {
		errs = append(errs, field.Invalid(path.Child("minimumInterval"), o.MinimumInterval.String(), "must be at least 1s"))
	}
	if o.Interval < o.MinimumInterval {
		errs = append(errs, field.Invalid(path.Child("interval"), o.Interval.String(), "must not be less than minimumInterval"))
	}
	if o.Workers < 1 {
		errs = append(errs, field.Invalid(path.Child("workers"), o.Workers, "must be at least 1"))
	}
	if o.Timeout <= 0 {
		errs = append(errs, field.Invalid(path.Child("timeout"), o.Timeout.String(), "must be greater than 0"))
	}
	return errs
}
