package main

import (
	"context"
	"fmt"
	"slices"

	"github.com/spf13/cobra"
	utilerrors "k8s.io/apimachinery/pkg/util/errors"
	genericapiserver "k8s.io/apiserver/pkg/server"
	"k8s.io/apiserver/pkg/server/healthz"
	"k8s.io/client-go/rest"
	cliflag "k8s.io/component-base/cli/flag"
	"k8s.io/component-base/cli/globalflag"
	"k8s.io/component-base/logs"
	logsapi "k8s.io/component-base/logs/api/v1"

	"weir.dev/weir/internal/buildinfo"
	"weir.dev/weir/internal/component"
	"weir.dev/weir/internal/config"
	"weir.dev/weir/internal/hostclient"
	"weir.dev/weir/internal/probes"
)

// componentOptions are the flags of all components that run in a process of their own.
type componentOptions struct {
	host       hostclient.Options
	configFile string
	probes     *probes.Options
	logs       *logsapi.LoggingConfiguration
}

// newComponentOptions returns the defaults, with the port of probes and metrics.
func newComponentOptions(port int) *componentOptions {
	return &componentOptions{probes: probes.NewOptions(port), logs: logsapi.NewLoggingConfiguration()}
}

// addTo adds the flags to a command, after those of its own.
func (o *componentOptions) addTo(cmd *cobra.Command, sections cliflag.NamedFlagSets) {
	fs := sections.FlagSet("weir")
	fs.StringVar(&o.configFile, "config", o.configFile, "Configuration file (YAML): see docs/operate/configuration.md. Sections of other components are not used.")
	o.host.AddFlags(fs)
	o.probes.AddFlags(sections.FlagSet("probes"))
	logsapi.AddFlags(o.logs, sections.FlagSet("logs"))
	globalflag.AddGlobalFlags(sections.FlagSet("global"), cmd.Name(), logs.SkipLoggingConfigurationFlags())
	addSections(cmd, sections)
}

// running is a component that is being started.
type running struct {
	ctx    context.Context
	group  *component.Group
	host   *rest.Config
	config *config.Configuration
	*ending
}

// ending holds the health checks of a component, and the functions that stop it.
type ending struct {
	checks []healthz.HealthChecker
	stops  []func()
}

// addChecks adds health checks of the process.
func (e *ending) addChecks(checks ...healthz.HealthChecker) { e.checks = append(e.checks, checks...) }

// onStop runs f when the process stops, before what was given earlier and before the group ends.
func (e *ending) onStop(f func()) { e.stops = append(e.stops, f) }

func (e *ending) stop() {
	for _, f := range slices.Backward(e.stops) {
		f()
	}
}

// run starts a component and its probes, and waits until the process stops or a part of
// them fails.
func (o *componentOptions) run(cmd *cobra.Command, start func(running) error) error {
	rest.SetDefaultWarningHandler(rest.NoWarnings{}) // no warnings about requests of this process
	buildinfo.RegisterMetric()
	if err := startLog(o.logs, cmd.OutOrStdout(), cmd.ErrOrStderr()); err != nil {
		return err
	}
	settings, err := loadSettings(o.configFile)
	host, hostErr := o.host.Config()
	if err := utilerrors.NewAggregate([]error{err, hostErr, o.probes.Validate()}); err != nil {
		return err
	}
	port, err := o.probes.Open(o.host.Kubeconfig)
	if err != nil {
		return err
	}
	ctx, group, end := genericapiserver.SetupSignalContext(), component.NewGroup(), &ending{}
	defer group.Stop()
	defer end.stop()
	if err := start(running{ctx: ctx, group: group, host: host, config: settings, ending: end}); err != nil {
		return err
	}
	checks := append([]healthz.HealthChecker{group}, end.checks...)
	group.Start("probes", func(ctx context.Context) error { return port.Run(ctx, checks...) })
	select {
	case <-ctx.Done():
	case <-group.Context().Done():
	}
	return group.Err()
}

// loadSettings are those of the configuration file, the defaults without one.
func loadSettings(file string) (*config.Configuration, error) {
	if file == "" {
		return config.Default(), nil
	}
	settings, err := config.Load(file)
	if err != nil {
		return nil, fmt.Errorf("--config: %w", err)
	}
	return settings, nil
}
