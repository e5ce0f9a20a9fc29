package config

import (
	imagev1 "github.com/openshift/api/image/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"weir.dev/weir/internal/caches"
	"weir.dev/weir/internal/controller/imageimport"
	"weir.dev/weir/internal/controller/schedule"
	"weir.dev/weir/internal/etcd"
	"weir.dev/weir/internal/importer"
	"weir.dev/weir/internal/upstream"
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

	// Etcd configures the embedded etcd.
	Etcd etcd.Settings `json:"etcd"`
	// Caches bounds the memory for what the server remembers.
	Caches caches.Settings `json:"caches"`
	// Registry configures the integrated registry: its names, storage, tokens, limits.
	Registry RegistryConfiguration `json:"registry"`
	// Imports configures imports from other registries.
	Imports ImportsConfiguration `json:"imports"`
	// Schedule configures the checks of scheduled tags.
	Schedule schedule.Options `json:"schedule"`
}

// ImportsConfiguration configures imports from other registries: the options of the components that
// take part in them are one section of the file.
type ImportsConfiguration struct {
	// Mode is stored with tags that name no import mode: Legacy or PreserveOriginal. Tags that
	// are stored keep theirs. Default Legacy.
	Mode imagev1.ImportModeType `json:"mode"`
	// AllowedRegistries are the registries that images may be imported from. The integrated
	// registry is always among them. Default: none, which allows every registry.
	AllowedRegistries []AllowedRegistry `json:"allowedRegistries"`
	// MaxImagesBulkImportedPerRepository is the number of tags that one import takes from a
	// repository; -1 takes all. Default 50.
	MaxImagesBulkImportedPerRepository int `json:"maxImagesBulkImportedPerRepository"`
	// NodeCredentialsFile is a config.json as docker and the kubelet write it, whose credentials
	// are tried after those of the namespace. A relative path is relative to the configuration
	// file. Default "": no such credentials.
	NodeCredentialsFile string `json:"nodeCredentialsFile"`

	// Importer are the options of imports themselves, Client those of the client of other
	// registries, Controller those of the controller that imports new and failed tags.
	Importer   importer.Options    `json:",inline"`
	Client     upstream.Options    `json:",inline"`
	Controller imageimport.Options `json:",inline"`
}

// AllowedRegistry is one entry of the list of allowed registries.
type AllowedRegistry struct {
	// DomainName is host[:port]. "*" stands for any characters and "?" for one, in both parts.
	// Without a port it is 443, or 80 when Insecure. Required.
	DomainName string `json:"domainName"`
	// Insecure makes 80 the port of an entry that names none. Default false.
	Insecure bool `json:"insecure"`
}

// Default returns the configuration of a server without a file. The caller may change it.
func Default() *Configuration {
	return &Configuration{
		TypeMeta: metav1.TypeMeta{APIVersion: APIVersion, Kind: Kind},
		Etcd:     etcd.DefaultSettings(),
		Registry: defaultRegistry(),
		Imports: ImportsConfiguration{
			Mode:                               imagev1.ImportModeLegacy,
			MaxImagesBulkImportedPerRepository: importer.DefaultMaxRepositoryTags,
			Importer:                           importer.DefaultOptions(),
			Client:                             upstream.DefaultOptions(),
			Controller:                         imageimport.DefaultOptions(),
		},
		Schedule: schedule.DefaultOptions(),
	}
}
