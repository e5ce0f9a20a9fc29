package config

import (
	imagev1 "github.com/openshift/api/image/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const (
	// APIVersion is the apiVersion that a file must name.
	APIVersion = "config.weir.dev/v1alpha1"
	// Kind is the kind that a file must name.
	Kind = "WeirConfiguration"
)

// Configuration is the content of the configuration file. Start from Default: a
// zero value is not a valid configuration.
type Configuration struct {
	metav1.TypeMeta `json:",inline"`

	// Etcd is about the embedded etcd.
	Etcd EtcdConfiguration `json:"etcd"`
	// Caches is about the memory for what the server remembers.
	Caches CachesConfiguration `json:"caches"`
	// Registry is about the integrated registry: its names, storage, tokens, limits.
	Registry RegistryConfiguration `json:"registry"`
	// Imports says how images are imported from other registries.
	Imports ImportsConfiguration `json:"imports"`
	// Schedule says how scheduled tags are kept current.
	Schedule ScheduleConfiguration `json:"schedule"`
}

// EtcdConfiguration is about the embedded etcd.
type EtcdConfiguration struct {
	// Reserve is what is kept free on the disk of the data folder: with less, writes that take
	// room are refused. Default 0: 5 % of the disk, from 64Mi to 512Mi. Otherwise at least 64Mi.
	Reserve resource.Quantity `json:"reserve"`
	// Quota is the most that the database may hold. At least 32Mi. Default 8Gi.
	Quota resource.Quantity `json:"quota"`
}

// CachesConfiguration is about the memory for what the server remembers.
type CachesConfiguration struct {
	// Size is the memory for the entries of all caches together, by estimate. Default 0:
	// Registry.Manifests.CacheSize and Imports.Limits.CacheSize together, at least 128Mi. Otherwise
	// at least 8Mi.
	Size resource.Quantity `json:"size"`
}

// ImportsConfiguration says how images are imported from other registries.
type ImportsConfiguration struct {
	// Mode is stored with tags that name no import mode: Legacy or PreserveOriginal. Tags that
	// are stored keep theirs. Default Legacy.
	Mode imagev1.ImportModeType `json:"mode"`
	// AllowedRegistries are the registries that images may be imported from. The integrated
	// registry is always among them. Default: none, which allows every registry.
	AllowedRegistries []AllowedRegistry `json:"allowedRegistries"`
	// MaxImagesBulkImportedPerRepository is how many tags one import takes from a repository;
	// -1 takes all. Default 50.
	MaxImagesBulkImportedPerRepository int `json:"maxImagesBulkImportedPerRepository"`
	// DefaultPlatform is what a Legacy import of a manifest list looks for first.
	DefaultPlatform Platform `json:"defaultPlatform"`
	// NodeCredentialsFile is a config.json as docker and the kubelet write it, whose credentials
	// are tried after those of the namespace. A relative path is relative to the configuration
	// file. Default "": no such credentials.
	NodeCredentialsFile string `json:"nodeCredentialsFile"`
	// Timeout bounds one import as a whole: what is not finished then fails. Default 10m.
	Timeout metav1.Duration `json:"timeout"`
	// RequestTimeout is how long the controllers wait for the answer to an import that they
	// asked for. Not less than Timeout. Default 1h.
	RequestTimeout metav1.Duration `json:"requestTimeout"`
	// Concurrency is how many calls of one import may be in flight to one registry host; over
	// all hosts it may have ten times as many. Default 10.
	Concurrency int `json:"concurrency"`
	// Workers is how many streams the import controller imports at a time. Default 50.
	Workers int `json:"workers"`
	// EventsPerSecond bounds the Kubernetes Events that the import controller writes, over all
	// streams; ten times as many may come at once. Default 10.
	EventsPerSecond float64 `json:"eventsPerSecond"`

	// Retry says how the import controller tries failed tags again.
	Retry RetryConfiguration `json:"retry"`
	// Hosts bounds what any one upstream host is asked.
	Hosts HostsConfiguration `json:"hosts"`
	// Addresses says which network addresses are contacted.
	Addresses AddressesConfiguration `json:"addresses"`
	// Timeouts bound the steps of a call to a registry.
	Timeouts TimeoutsConfiguration `json:"timeouts"`
	// Limits bound what is read from registries.
	Limits LimitsConfiguration `json:"limits"`
}

// AllowedRegistry is one entry of the list of allowed registries.
type AllowedRegistry struct {
	// DomainName is host[:port]. "*" stands for any characters and "?" for one, in both parts.
	// Without a port it is 443, or 80 when Insecure. Required.
	DomainName string `json:"domainName"`
	// Insecure makes 80 the port of an entry that names none. Default false.
	Insecure bool `json:"insecure"`
}

// Platform is an operating system and an architecture, in Go's names.
type Platform struct {
	// OS is an operating system such as "linux". Default "": that of this process.
	OS string `json:"os"`
	// Architecture is a processor architecture such as "arm64". Default "": that of this process.
	Architecture string `json:"architecture"`
}

// RetryConfiguration says how the import controller tries failed tags again.
type RetryConfiguration struct {
	// Disabled leaves failed tags as they are. Default false.
	Disabled bool `json:"disabled"`
	// Workers is how many streams are retried at a time, no more than a quarter of them
	// from one registry. Default 20.
	Workers int `json:"workers"`
	// Base is the pause after the first failure of a kind that tends to pass: an unreachable or
	// overloaded registry. It doubles with every attempt. Default 10s.
	Base metav1.Duration `json:"base"`
	// SlowBase is that pause for failures that someone has to mend: missing images, missing
	// rights. Default 1m.
	SlowBase metav1.Duration `json:"slowBase"`
	// Max is the longest pause, unless the registry asks for a longer one. Not less than Base
	// and SlowBase. Default 30m.
	Max metav1.Duration `json:"max"`
}

// ScheduleConfiguration says how scheduled tags (importPolicy.scheduled) are kept current.
type ScheduleConfiguration struct {
	// Disabled re-imports nothing. Default false.
	Disabled bool `json:"disabled"`
	// Interval is the time between two checks of a tag that names none itself. Default 15m.
	Interval metav1.Duration `json:"interval"`
	// MinimumInterval is the least that a tag's annotation can ask for, at least 1s. Default 1m.
	MinimumInterval metav1.Duration `json:"minimumInterval"`
	// MaxPerMinute bounds the imports per minute; twice as many may come at once. 0 is twice what
	// the scheduled tags need, and 60 at least; -1 is without bound. Default 0.
	MaxPerMinute int `json:"maxPerMinute"`
	// Workers is how many scheduled imports are under way at a time, no more than a quarter
	// of them from one registry. Default 40.
	Workers int `json:"workers"`
}
