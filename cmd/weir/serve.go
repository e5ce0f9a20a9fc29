package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"
	genericapiserver "k8s.io/apiserver/pkg/server"
	utilfeature "k8s.io/apiserver/pkg/util/feature"
	"k8s.io/client-go/rest"
	cliflag "k8s.io/component-base/cli/flag"
	"k8s.io/component-base/cli/globalflag"
	"k8s.io/component-base/logs"
	logsapi "k8s.io/component-base/logs/api/v1"
	"k8s.io/component-base/term"

	"weir.dev/weir/internal/standalone"
)

func newServeCommand() *cobra.Command {
	o := standalone.NewOptions()
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Serve image streams from this machine, with everything around them",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			rest.SetDefaultWarningHandler(rest.NoWarnings{}) // the process's own requests warn nobody
			if err := logsapi.ValidateAndApply(o.Host.ControlPlane.Logs, utilfeature.DefaultFeatureGate); err != nil {
				return err
			}
			standalone.CollectSooner()
			ctx := genericapiserver.SetupSignalContext()
			server, err := standalone.New(ctx, o)
			if err != nil {
				return err
			}
			go greet(ctx, cmd.OutOrStdout(), server)
			return server.Run(ctx)
		},
	}
	var sections cliflag.NamedFlagSets
	o.AddFlags(&sections)
	globalflag.AddGlobalFlags(sections.FlagSet("global"), cmd.Name(), logs.SkipLoggingConfigurationFlags())
	for _, fs := range sections.FlagSets {
		cmd.Flags().AddFlagSet(fs)
	}
	columns, _, _ := term.TerminalSize(cmd.OutOrStdout())
	cliflag.SetUsageAndHelpFunc(cmd, sections, columns)
	return cmd
}

// greet tells, once the server is ready, where it is, how to log in and what to
// try.
func greet(ctx context.Context, out io.Writer, server *standalone.Server) {
	if server.WaitReady(ctx) != nil {
		return // it is stopping
	}
	registry := ""
	if url := server.RegistryURL(); url != "" {
		registry = " and a registry at " + url
	}
	fmt.Fprintf(out, `
Weir serves image streams at %[1]s%[3]s

Log in as its administrator:
  export KUBECONFIG=%[2]s

Then try:
  kubectl api-resources --api-group=image.openshift.io
  kubectl create namespace shop
  kubectl -n shop apply -f examples/imagestream.yaml
  kubectl -n shop get imagestreams,imagestreamtags

Stop it with Ctrl-C. A restart over the same --data-dir finds everything again.
`, server.URL(), server.Kubeconfig(), registry)
}
