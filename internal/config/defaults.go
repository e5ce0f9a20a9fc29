package config

import (
	"time"

	imagev1 "github.com/openshift/api/image/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"weir.dev/weir/internal/controller/imageimport"
	"weir.dev/weir/internal/controller/schedule"
	"weir.dev/weir/internal/etcd"
	"weir.dev/weir/internal/importer"
)

// Default is the configuration of a server that was given no file. It is the
// caller's to change.
func Default() *Configuration {
	return &Configuration{
		TypeMeta: metav1.TypeMeta{APIVersion: APIVersion, Kind: Kind},
		Etcd:     EtcdConfiguration{Quota: size(etcd.DefaultQuota)},
		Registry: defaultRegistry(),
		Imports:  defaultImports(),
		Schedule: defaultSchedule(),
	}
}

func defaultImports() ImportsConfiguration {
	controller := imageimport.DefaultOptions()
	return ImportsConfiguration{
		Mode:                               imagev1.ImportModeLegacy,
		MaxImagesBulkImportedPerRepository: importer.DefaultMaxRepositoryTags,
		Timeout:                            duration(10 * time.Minute),
		RequestTimeout:                     duration(controller.Timeout),
		Concurrency:                        10,
		Workers:                            controller.Workers,
		EventsPerSecond:                    controller.EventsPerSecond,
		Retry: RetryConfiguration{
			Disabled: controller.Retry.Disabled,
			Workers:  controller.Retry.Workers,
			Base:     duration(controller.Retry.Base),
			SlowBase: duration(controller.Retry.SlowBase),
			Max:      duration(controller.Retry.Max),
		},
		Hosts:    defaultHosts(),
		Timeouts: defaultTimeouts(),
		Limits:   defaultLimits(),
	}
}

func defaultHosts() HostsConfiguration {
	return HostsConfiguration{
		Concurrency:      16,
		MaxWait:          duration(30 * time.Second),
		MaxPause:         duration(5 * time.Minute),
		MinRate:          0.5,
		MaxRate:          100,
		RecoverPerSecond: 1,
		Retries:          2,
		RetryBase:        duration(200 * time.Millisecond),
		RetryWait:        duration(5 * time.Second),
		Remembered:       1000,
	}
}

func defaultTimeouts() TimeoutsConfiguration {
	return TimeoutsConfiguration{
		Call:           duration(time.Minute),
		Ping:           duration(15 * time.Second),
		Dial:           duration(10 * time.Second),
		TLSHandshake:   duration(10 * time.Second),
		IdleConnection: duration(90 * time.Second),
		Session:        duration(15 * time.Minute),
	}
}

func defaultLimits() LimitsConfiguration {
	const (
		kibi = 1 << 10
		mebi = 1 << 20
	)
	return LimitsConfiguration{
		ManifestSize:      size(8 * mebi),
		ConfigSize:        size(8 * mebi),
		ImageSize:         size(1 * mebi),
		TagSize:           size(64 * mebi),
		RequestSize:       size(256 * mebi),
		CacheSize:         size(64 * mebi),
		ManifestsPerTag:   1000,
		ListDepth:         4,
		TagListLength:     100_000,
		TagListPages:      1000,
		TagListPageSize:   size(8 * mebi),
		TagsPerRepository: 50_000,
		TokenSize:         size(1 * mebi),
		ErrorSize:         size(64 * kibi),
		HeaderSize:        size(64 * kibi),
		Redirects:         5,
		Sessions:          4096,
	}
}

func defaultSchedule() ScheduleConfiguration {
	o := schedule.DefaultOptions()
	return ScheduleConfiguration{
		Disabled:        o.Disabled,
		Interval:        duration(o.Interval),
		MinimumInterval: duration(o.MinimumInterval),
		MaxPerMinute:    o.MaxPerMinute,
		Workers:         o.Workers,
	}
}

func duration(d time.Duration) metav1.Duration { return metav1.Duration{Duration: d} }

func size(bytes int64) resource.Quantity { return *resource.NewQuantity(bytes, resource.BinarySI) }
