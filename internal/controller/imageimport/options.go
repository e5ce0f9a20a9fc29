package imageimport

import (
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"weir.dev/weir/internal/controller/importrequest"
	"weir.dev/weir/internal/settings"
)

// Options configure the controller: settings of the section imports of the configuration file.
type Options struct {
	// Timeout is how long the controllers wait for the response to an import. Default 1h.
	Timeout metav1.Duration `json:"requestTimeout"`
	// Workers is the number of streams that are imported at a time, no more than a quarter of
	// them from one registry. Default 50.
	Workers int `json:"workers"`
	// EventsPerSecond bounds the Kubernetes Events that the controller writes, over all streams;
	// ten times as many may come at once. Further ones are dropped and counted. Default 10.
	EventsPerSecond float64 `json:"eventsPerSecond"`
	// Retry is the back-off of failed tags.
	Retry RetryOptions `json:"retry"`
}

// RetryOptions are the back-off of failed tags.
type RetryOptions struct {
	// Disabled turns retries off, as in OpenShift. Default false.
	Disabled bool `json:"disabled"`
	// Workers is the number of streams that are retried at a time, no more than a quarter of
	// them from one registry. Default 20.
	Workers int `json:"workers"`
	// Base is the pause after the first transient failure: an unreachable or overloaded
	// registry. It doubles with every attempt. Default 10s.
	Base metav1.Duration `json:"base"`
	// SlowBase is that pause for failures that a person has to fix: missing images, missing
	// rights. Default 1m.
	SlowBase metav1.Duration `json:"slowBase"`
	// Max is the longest pause, unless the registry asks for a longer one. Not less than Base
	// and SlowBase. Default 30m.
	Max metav1.Duration `json:"max"`
}

// DefaultOptions returns the defaults.
func DefaultOptions() Options {
	return Options{
		Timeout:         settings.Duration(importrequest.DefaultTimeout),
		Workers:         50,
		EventsPerSecond: 10,
		Retry: RetryOptions{
			Workers:  20,
			Base:     settings.Duration(10 * time.Second),
			SlowBase: settings.Duration(time.Minute),
			Max:      settings.Duration(30 * time.Minute),
		},
	}
}

// Validate returns every mistake in the section at path.
func (o *Options) Validate(path *field.Path) field.ErrorList {
	var c settings.Checks
	c.Positive(path.Child("requestTimeout"), o.Timeout)
	c.Between(path.Child("workers"), o.Workers, 1, settings.MaxConcurrency)
	c.Rate(path.Child("eventsPerSecond"), o.EventsPerSecond)
	r, path := &o.Retry, path.Child("retry")
	c.Between(path.Child("workers"), r.Workers, 1, settings.MaxConcurrency)
	c.Positive(path.Child("base"), r.Base)
	c.Positive(path.Child("slowBase"), r.SlowBase)
	if r.Max.Duration < max(r.Base.Duration, r.SlowBase.Duration) {
		c.Invalid(path.Child("max"), r.Max.Duration.String(), "must not be less than base and slowBase")
	}
	return c.Errors()
}
