package standalone

import (
	imagev1 "github.com/openshift/api/image/v1"

	"weir.dev/weir/internal/controller/imageimport"
	"weir.dev/weir/internal/controller/schedule"
	"weir.dev/weir/internal/imageapi/validation"
	"weir.dev/weir/internal/importer"
	"weir.dev/weir/internal/stream"
	"weir.dev/weir/internal/upstream"
)

type settings struct {
	Registry struct {
		InternalHostname  string
		ExternalHostnames []string
	}
	Imports struct {
		NodeCredentialsFile                string
		Mode                               imagev1.ImportModeType
		MaxImagesBulkImportedPerRepository int
	}
}

func defaultSettings() *settings { return &settings{} }

func (s *settings) UpstreamOptions() (upstream.Options, error) { return upstream.Options{}, nil }
func (s *settings) ImporterOptions(r importer.Registries) importer.Options {
	return importer.Options{Registries: r}
}
func (s *settings) AllowedRegistries() (validation.RegistryAllower, error) {
	return validation.AnyRegistry, nil
}
func (s *settings) Registries() stream.Registries {
	return stream.Registries{Internal: s.Registry.InternalHostname}
}
func (s *settings) ImportControllerOptions() imageimport.Options { return imageimport.DefaultOptions() }
func (s *settings) ScheduleOptions() schedule.Options            { return schedule.DefaultOptions() }
