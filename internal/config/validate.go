package config

import (
	"errors"
	"strconv"
	"strings"

	imagev1 "github.com/openshift/api/image/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"weir.dev/weir/internal/imageapi/validation"
	"weir.dev/weir/internal/reference"
	"weir.dev/weir/internal/settings"
)

// Validate returns every mistake in the values, each with its path. Load and Parse have called it;
// call it again after changing something.
func (c *Configuration) Validate() field.ErrorList {
	var errs field.ErrorList
	imports := field.NewPath("imports")
	for _, of := range []field.ErrorList{
		c.validateVersion(),
		c.Etcd.Validate(field.NewPath("etcd")),
		c.Caches.Validate(field.NewPath("caches")),
		c.Registry.validate(field.NewPath("registry")),
		c.Imports.validate(imports),
		c.Imports.Importer.Validate(imports),
		c.Imports.Client.Validate(imports),
		c.Imports.Controller.Validate(imports),
		c.Schedule.Validate(field.NewPath("schedule")),
	} {
		errs = append(errs, of...)
	}
	return errs
}

// CheckHostname says what is wrong with a host[:port] of the integrated registry, for
// the flags that override the file; nil when nothing is.
func CheckHostname(host string) error {
	// A host that a pull spec cannot begin with would make every stream's repository unusable.
	spec, err := reference.Parse(host + "/namespace/name")
	if host == "" || err != nil || spec.Registry != host {
		return errors.New("must be host[:port] as at the beginning of a pull spec, without scheme and path")
	}
	if _, port, hasPort := strings.Cut(host, ":"); hasPort {
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
			return errors.New("the port must be a number from 1 to 65535")
		}
	}
	return nil
}

func (c *Configuration) validateVersion() field.ErrorList {
	return append(exactly(field.NewPath("apiVersion"), c.APIVersion, APIVersion), exactly(field.NewPath("kind"), c.Kind, Kind)...)
}

func exactly(p *field.Path, value, want string) field.ErrorList {
	switch value {
	case want:
		return nil
	case "":
		return field.ErrorList{field.Required(p, "must be "+want)}
	}
	return field.ErrorList{field.NotSupported(p, cut(value), []string{want})}
}

func checkHostname(c *settings.Checks, p *field.Path, host string) {
	if host == "" {
		c.Add(field.Required(p, "must be host[:port]"))
	} else if err := CheckHostname(host); err != nil {
		c.Invalid(p, host, err.Error())
	}
}

// validate returns the mistakes in what belongs to no component, and in how components fit together.
func (i *ImportsConfiguration) validate(p *field.Path) field.ErrorList {
	var c settings.Checks
	settings.OneOf(&c, p.Child("mode"), i.Mode, imagev1.ImportModeLegacy, imagev1.ImportModePreserveOriginal)
	checkAllowed(&c, p.Child("allowedRegistries"), i.AllowedRegistries)
	c.CountOrUnlimited(p.Child("maxImagesBulkImportedPerRepository"), i.MaxImagesBulkImportedPerRepository)
	if strings.ContainsRune(i.NodeCredentialsFile, 0) {
		c.Invalid(p.Child("nodeCredentialsFile"), i.NodeCredentialsFile, "must be the path of a file")
	}
	if wait, whole := i.Controller.Timeout, i.Importer.Timeout; wait.Duration > 0 && wait.Duration < whole.Duration {
		c.Invalid(p.Child("requestTimeout"), wait.Duration.String(), "must not be less than timeout")
	}
	return c.Errors()
}

func checkAllowed(c *settings.Checks, p *field.Path, list []AllowedRegistry) {
	known := map[AllowedRegistry]bool{}
	for i, entry := range list {
		at := p.Index(i).Child("domainName")
		switch _, err := validation.NewAllowedRegistries([]validation.AllowedRegistry{validation.AllowedRegistry(entry)}, ""); {
		case entry.DomainName == "":
			c.Add(field.Required(at, `must be host[:port], with "*" and "?" as wildcards`))
		case err != nil:
			c.Invalid(at, entry.DomainName, `must be host[:port], with "*" and "?" as wildcards, without scheme and path`)
		case known[entry]:
			c.Add(field.Duplicate(at, cut(entry.DomainName)))
		}
		known[entry] = true
	}
}
