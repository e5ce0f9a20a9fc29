package main

import (
	"context"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/spf13/cobra"
	genericapiserver "k8s.io/apiserver/pkg/server"
	utilfeature "k8s.io/apiserver/pkg/util/feature"
	"k8s.io/client-go/rest"
	cliflag "k8s.io/component-base/cli/flag"
	"k8s.io/component-base/cli/globalflag"
	"k8s.io/component-base/logs"
	logsapi "k8s.io/component-base/logs/api/v1"
	_ "k8s.io/component-base/logs/json/register" // --logging-format json

	"weir.dev/weir/internal/buildinfo"
	"weir.dev/weir/internal/quietlog"
	"weir.dev/weir/internal/standalone"
)

func newServeCommand() *cobra.Command {
	o := standalone.NewOptions()
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Serve image streams from this machine, with everything around them",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if wantsHelp(cmd) {
				return nil
			}
			rest.SetDefaultWarningHandler(rest.NoWarnings{}) // no warnings about requests of this process
			if err := startLog(o.Host.ControlPlane.Logs, cmd.OutOrStdout(), cmd.ErrOrStderr()); err != nil {
				return err
			}
			buildinfo.RegisterMetric()
			standalone.CollectSooner()
			ctx := genericapiserver.SetupSignalContext()
			started := announceSlowStart(cmd.OutOrStdout(), slowStart, o.DataDir)
			defer started()
			server, err := standalone.New(ctx, o)
			if err != nil {
				return err
			}
			go greet(ctx, cmd.OutOrStdout(), server, started)
			return server.Run(ctx)
		},
	}
	var sections cliflag.NamedFlagSets
	o.AddFlags(&sections)
	globalflag.AddGlobalFlags(sections.FlagSet("global"), cmd.Name(), logs.SkipLoggingConfigurationFlags())
	addSections(cmd, sections)
	return cmd
}

// startLog sets the log up. At the default verbosity it leaves out what the libraries say
// when all is well.
func startLog(settings *logsapi.LoggingConfiguration, stdout, stderr io.Writer) error {
	if settings.Verbosity == 0 {
		stderr = quietlog.Writer(stderr)
	}
	return logsapi.ValidateAndApplyWithOptions(settings, &logsapi.LoggingOptions{ErrorStream: stderr, InfoStream: stdout}, utilfeature.DefaultFeatureGate)
}

// slowStart is the time after which a start is announced.
const slowStart = time.Second

// announceSlowStart prints a line if the returned function is not called within some time. That
// function returns after the line is printed, or never will be.
func announceSlowStart(out io.Writer, after time.Duration, dataDir string) (started func()) {
	var printing sync.Mutex
	timer := time.AfterFunc(after, func() {
		printing.Lock()
		defer printing.Unlock()
		fmt.Fprintf(out, "Weir is starting with the data in %s. The first start takes a few seconds.\n", dataDir)
	})
	return func() {
		timer.Stop()
		printing.Lock()
		defer printing.Unlock()
	}
}

// greet prints the addresses of a server that is ready and how to log in, and after the first
// start what to try.
func greet(ctx context.Context, out io.Writer, server *standalone.Server, started func()) {
	err := server.WaitReady(ctx)
	started()
	if err != nil {
		return // it is stopping
	}
	registry := ""
	if url := server.RegistryURL(); url != "" {
		registry = " and a registry at " + url
	}
	served, try := "image streams", ""
	switch {
	case !server.ServesImageAPI():
		served = "a Kubernetes API for weir apiserver"
	case server.First():
		try = `
Then try:
  kubectl api-resources --api-group=image.openshift.io
  kubectl create namespace shop
  kubectl -n shop apply -f examples/imagestream.yaml
  kubectl -n shop get imagestreams,imagestreamtags
`
	}
	fmt.Fprintf(out, `
Weir serves %[5]s at %[1]s%[3]s

Log in as its administrator:
  export KUBECONFIG=%[2]s
%[4]s
Stop it with Ctrl-C. A restart over the same --data-dir finds everything again.
`, server.URL(), server.Kubeconfig(), registry, try, served)
}
