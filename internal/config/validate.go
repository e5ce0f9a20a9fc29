package config

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	imagev1 "github.com/openshift/api/image/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"weir.dev/weir/internal/controller/imageimport"
	"weir.dev/weir/internal/controller/schedule"
	"weir.dev/weir/internal/imageapi"
	"weir.dev/weir/internal/imageapi/validation"
	"weir.dev/weir/internal/reference"
)

const (
	// maxConcurrency bounds what is allocated per unit: workers, slots.
	maxConcurrency = 10_000
	// maxCount bounds every other count.
	maxCount = 10_000_000
	// maxSize bounds every size; more is a slip of the pen and would not fit into memory.
	maxSize = 1 << 40
)

// Validate reports everything that is wrong with the values, each with its path. Load
// and Parse have called it; call it again after changing something.
func (c *Configuration) Validate() field.ErrorList {
	v := &validator{}
	v.version(c)
	v.etcd(field.NewPath("etcd"), &c.Etcd)
	v.caches(field.NewPath("caches"), &c.Caches)
	v.registry(field.NewPath("registry"), &c.Registry)
	v.imports(field.NewPath("imports"), &c.Imports)
	v.controllers(c)
	return v.errs
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

type validator struct{ errs field.ErrorList }

func (v *validator) add(errs ...*field.Error) { v.errs = append(v.errs, errs...) }

func (v *validator) version(c *Configuration) {
	v.exactly(field.NewPath("apiVersion"), c.APIVersion, APIVersion)
	v.exactly(field.NewPath("kind"), c.Kind, Kind)
}

func (v *validator) exactly(p *field.Path, value, want string) {
	switch value {
	case want:
	case "":
		v.add(field.Required(p, "must be "+want))
	default:
		v.add(field.NotSupported(p, cut(value), []string{want}))
	}
}

func (v *validator) hostname(p *field.Path, host string) {
	if host == "" {
		v.add(field.Required(p, "must be host[:port]"))
	} else if err := CheckHostname(host); err != nil {
		v.add(field.Invalid(p, cut(host), err.Error()))
	}
}

const (
	// minEtcdReserve is what etcd needs to go on when the disk is full otherwise.
	minEtcdReserve = 64 << 20
	minEtcdQuota   = 32 << 20
)

func (v *validator) etcd(p *field.Path, c *EtcdConfiguration) {
	if !c.Reserve.IsZero() {
		v.sizeFrom(p.Child("reserve"), c.Reserve, minEtcdReserve)
	}
	v.sizeFrom(p.Child("quota"), c.Quota, minEtcdQuota)
}

// minCaches leaves room for some entries in every cache.
const minCaches = 8 << 20

func (v *validator) caches(p *field.Path, c *CachesConfiguration) {
	if !c.Size.IsZero() {
		v.sizeFrom(p.Child("size"), c.Size, minCaches)
	}
}

func (v *validator) imports(p *field.Path, c *ImportsConfiguration) {
	if c.Mode != imagev1.ImportModeLegacy && c.Mode != imagev1.ImportModePreserveOriginal {
		v.add(field.NotSupported(p.Child("mode"), cut(string(c.Mode)),
			[]imagev1.ImportModeType{imagev1.ImportModeLegacy, imagev1.ImportModePreserveOriginal}))
	}
	v.allowed(p.Child("allowedRegistries"), c.AllowedRegistries)
	v.countOrUnlimited(p.Child("maxImagesBulkImportedPerRepository"), c.MaxImagesBulkImportedPerRepository)
	v.platformName(p.Child("defaultPlatform", "os"), c.DefaultPlatform.OS)
	v.platformName(p.Child("defaultPlatform", "architecture"), c.DefaultPlatform.Architecture)
	if strings.ContainsRune(c.NodeCredentialsFile, 0) {
		v.add(field.Invalid(p.Child("nodeCredentialsFile"), cut(c.NodeCredentialsFile), "must be the path of a file"))
	}
	v.positive(p.Child("timeout"), c.Timeout)
	if c.RequestTimeout.Duration < c.Timeout.Duration || c.RequestTimeout.Duration <= 0 {
		v.add(field.Invalid(p.Child("requestTimeout"), c.RequestTimeout.Duration.String(), "must be greater than 0 and not less than timeout"))
	}
	v.between(p.Child("concurrency"), c.Concurrency, 1, maxConcurrency)
	v.upTo(p.Child("workers"), c.Workers, maxConcurrency)
	v.upTo(p.Child("retry", "workers"), c.Retry.Workers, maxConcurrency)
	v.hosts(p.Child("hosts"), &c.Hosts)
	v.addresses(p.Child("addresses"), &c.Addresses)
	v.timeouts(p.Child("timeouts"), &c.Timeouts)
	v.limits(p.Child("limits"), &c.Limits)
}

func (v *validator) allowed(p *field.Path, list []AllowedRegistry) {
	known := map[AllowedRegistry]bool{}
	for i, entry := range list {
		at := p.Index(i).Child("domainName")
		switch _, err := validation.NewAllowedRegistries([]validation.AllowedRegistry{validation.AllowedRegistry(entry)}, ""); {
		case entry.DomainName == "":
			v.add(field.Required(at, `must be host[:port], with "*" and "?" as wildcards`))
		case err != nil:
			v.add(field.Invalid(at, cut(entry.DomainName), `must be host[:port], with "*" and "?" as wildcards, without scheme and path`))
		case known[entry]:
			v.add(field.Duplicate(at, cut(entry.DomainName)))
		}
		known[entry] = true
	}
}

func (v *validator) platformName(p *field.Path, name string) {
	if strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789") != "" {
		v.add(field.Invalid(p, cut(name), `must be one of Go's names such as "linux" or "arm64": lower-case letters and digits`))
	}
}

func (v *validator) hosts(p *field.Path, c *HostsConfiguration) {
	v.between(p.Child("concurrency"), c.Concurrency, 1, maxConcurrency)
	v.positive(p.Child("maxWait"), c.MaxWait)
	v.positive(p.Child("maxPause"), c.MaxPause)
	v.rate(p.Child("minRate"), c.MinRate)
	v.rate(p.Child("maxRate"), c.MaxRate)
	if c.MaxRate > 0 && c.MaxRate < c.MinRate {
		v.add(field.Invalid(p.Child("maxRate"), c.MaxRate, "must not be less than minRate"))
	}
	v.rate(p.Child("recoverPerSecond"), c.RecoverPerSecond)
	v.between(p.Child("retries"), c.Retries, 0, 100)
	v.positive(p.Child("retryBase"), c.RetryBase)
	v.positive(p.Child("retryWait"), c.RetryWait)
	v.between(p.Child("remembered"), c.Remembered, 1, maxCount)
}

func (v *validator) addresses(p *field.Path, c *AddressesConfiguration) {
	for i, block := range c.Allow {
		if _, err := parseBlock(block); err != nil {
			v.add(field.Invalid(p.Child("allow").Index(i), cut(block), "must be an IP address or a CIDR block such as 169.254.10.0/24"))
		}
	}
}

func (v *validator) timeouts(p *field.Path, c *TimeoutsConfiguration) {
	v.positive(p.Child("call"), c.Call)
	v.positive(p.Child("ping"), c.Ping)
	v.positive(p.Child("dial"), c.Dial)
	v.positive(p.Child("tlsHandshake"), c.TLSHandshake)
	v.positive(p.Child("idleConnection"), c.IdleConnection)
	v.positive(p.Child("session"), c.Session)
}

func (v *validator) limits(p *field.Path, c *LimitsConfiguration) {
	v.size(p.Child("manifestSize"), c.ManifestSize)
	v.size(p.Child("configSize"), c.ConfigSize)
	v.size(p.Child("imageSize"), c.ImageSize)
	if c.ImageSize.CmpInt64(imageapi.MaxImageBytes) > 0 {
		v.add(field.Invalid(p.Child("imageSize"), c.ImageSize.String(), fmt.Sprintf("must be at most %d bytes: storage takes no more", imageapi.MaxImageBytes)))
	}
	v.size(p.Child("tagSize"), c.TagSize)
	v.size(p.Child("requestSize"), c.RequestSize)
	v.size(p.Child("cacheSize"), c.CacheSize)
	v.between(p.Child("manifestsPerTag"), c.ManifestsPerTag, 1, maxCount)
	v.between(p.Child("listDepth"), c.ListDepth, 1, 100)
	v.between(p.Child("tagListLength"), c.TagListLength, 1, maxCount)
	v.between(p.Child("tagListPages"), c.TagListPages, 1, maxCount)
	v.size(p.Child("tagListPageSize"), c.TagListPageSize)
	v.between(p.Child("tagsPerRepository"), c.TagsPerRepository, 1, maxCount)
	v.size(p.Child("tokenSize"), c.TokenSize)
	v.size(p.Child("errorSize"), c.ErrorSize)
	v.size(p.Child("headerSize"), c.HeaderSize)
	v.between(p.Child("redirects"), c.Redirects, 1, 100)
	v.between(p.Child("sessions"), c.Sessions, 1, maxCount)
}

// controllers adds the rules that the controllers have for their own options, also
// when they are disabled. requestTimeout, which both share, was judged before.
func (v *validator) controllers(c *Configuration) {
	imports := c.ImportControllerOptions()
	imports.Timeout, imports.Retry.Disabled = imageimport.DefaultOptions().Timeout, false
	v.add(imports.Validate(field.NewPath("imports"))...)

	p := field.NewPath("schedule")
	scheduled := c.ScheduleOptions()
	scheduled.Timeout, scheduled.Disabled = schedule.DefaultOptions().Timeout, false
	v.add(scheduled.Validate(p)...)
	v.upTo(p.Child("workers"), c.Schedule.Workers, maxConcurrency)
	if c.Schedule.MaxPerMinute != 0 { // as many as are needed
		v.countOrUnlimited(p.Child("maxPerMinute"), c.Schedule.MaxPerMinute)
	}
}

func (v *validator) positive(p *field.Path, d metav1.Duration) {
	if d.Duration <= 0 {
		v.add(field.Invalid(p, d.Duration.String(), "must be greater than 0"))
	}
}

func (v *validator) rate(p *field.Path, perSecond float64) {
	if perSecond <= 0 {
		v.add(field.Invalid(p, perSecond, "must be greater than 0"))
	}
}

func (v *validator) between(p *field.Path, n, least, most int) {
	if n < least || n > most {
		v.add(field.Invalid(p, n, "must be from "+strconv.Itoa(least)+" to "+strconv.Itoa(most)))
	}
}

func (v *validator) upTo(p *field.Path, n, most int) {
	if n > most {
		v.add(field.Invalid(p, n, "must not be more than "+strconv.Itoa(most)))
	}
}

func (v *validator) countOrUnlimited(p *field.Path, n int) {
	if n < -1 || n == 0 || n > maxCount {
		v.add(field.Invalid(p, n, "must be from 1 to "+strconv.Itoa(maxCount)+", or -1 for no limit"))
	}
}

func (v *validator) sizeFrom(p *field.Path, q resource.Quantity, least int64) {
	if q.CmpInt64(least) < 0 || q.CmpInt64(maxSize) > 0 {
		v.add(field.Invalid(p, q.String(), "must be from "+resource.NewQuantity(least, resource.BinarySI).String()+" to 1Ti bytes"))
	}
}

func (v *validator) size(p *field.Path, q resource.Quantity) {
	if q.Sign() <= 0 || q.CmpInt64(maxSize) > 0 {
		v.add(field.Invalid(p, q.String(), "must be from 1 to 1Ti bytes"))
	}
}
