package imageimport

import (
	"time"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"weir.dev/weir/internal/controller/importrequest"
)

// Options configure the controller. Start from DefaultOptions.
type Options struct {
	// Workers is how many streams are imported at a time.
	Workers int
	// Timeout bounds one import, server side and client side.
	Timeout time.Duration
	// Retry says how failed tags are tried again.
	Retry RetryOptions
	// EventsPerSecond bounds the Kubernetes Events written, over all streams; ten times as
	// many may come at once. What is beyond is dropped and counted.
	EventsPerSecond float64
}

// RetryOptions are the back-off of failed tags.
type RetryOptions struct {
	// Disabled leaves failed tags as they are, as the reference does.
	Disabled bool
	// Workers is how many streams are retried at a time.
	Workers int
	// Base is the pause after the first failure of a kind that tends to pass: an
	// unreachable or overloaded registry. It doubles with every attempt.
	Base time.Duration
	// SlowBase is that pause for failures that someone has to mend: missing images,
	// missing rights.
	SlowBase time.Duration
	// Max is the longest pause, unless the registry asks for a longer one.
	Max time.Duration
}

// DefaultOptions are the defaults of the controller.
func DefaultOptions() Options {
	return Options{
		Workers:         50,
		Timeout:         importrequest.DefaultTimeout,
		EventsPerSecond: 10,
		Retry: RetryOptions{
			Workers:  20,
			Base:     10 * time.Second,
			SlowBase: time.Minute,
			Max:      30 * time.Minute,
		},
	}
}

// Validate reports every mistake at its place below path (import).
func (o Options) Validate(path *field.Path) field.ErrorList {
	errs := atLeastOne(path.Child("workers"), o.Workers)
	errs = append(errs, positive(path.Child("timeout"), o.Timeout)...)
	if o.EventsPerSecond <= 0 {
		errs = append(errs, field.Invalid(path.Child("eventsPerSecond"), o.EventsPerSecond, "must be greater than 0"))
	}
	if o.Retry.Disabled {
		return errs
	}
	return append(errs, o.Retry.validate(path.Child("retry"))...)
}

func (o RetryOptions) validate(path *field.Path) field.ErrorList {
	errs := atLeastOne(path.Child("workers"), o.Workers)
	errs = append(errs, positive(path.Child("base"), o.Base)...)
	errs = append(errs, positive(path.Child("slowBase"), o.SlowBase)...)
	if o.Max < max(o.Base, o.SlowBase) {
		errs = append(errs, field.Invalid(path.Child("max"), o.Max.String(), "must not be less than base and slowBase"))
	}
	return errs
}

func atLeastOne(path *field.Path, n int) field.ErrorList {
	if n < 1 {
		return field.ErrorList{field.Invalid(path, n, "must be at least 1")}
	}
	return nil
}

func positive(path *field.Path, d time.Duration) field.ErrorList {
	if d <= 0 {
		return field.ErrorList{field.Invalid(path, d.String(), "must be greater than 0")}
	}
	return nil
}
