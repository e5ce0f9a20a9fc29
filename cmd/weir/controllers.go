package main

import (
	"fmt"
	"os"
	"strings"

	"github.com/google/uuid"
	"github.com/spf13/cobra"
	cliflag "k8s.io/component-base/cli/flag"

	"weir.dev/weir/internal/controller/manager"
	"weir.dev/weir/internal/hostclient"
)

// controllersPort is where probes and metrics of weir controllers are served by default.
const controllersPort = 10443

func newControllersCommand() *cobra.Command {
	o := newComponentOptions(controllersPort)
	controllers, election := manager.Selection{"*"}, manager.DefaultElection("")
	cmd := &cobra.Command{
		Use:   "controllers",
		Short: "Run the controllers in a process of their own",
		Long: `Runs the controllers, which import what image streams ask for, check scheduled tags and report
large streams, against the API server of a kubeconfig or of the pod. weir serve runs them in its own
process unless --controllers=none.

Any number of processes can run: one of them, which holds the Lease, works.`,
		Example: `  weir serve --controllers=none
  weir controllers --kubeconfig weir-data/admin.kubeconfig`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if wantsHelp(cmd) {
				return nil
			}
			return o.run(cmd, func(r running) error {
				name, err := os.Hostname()
				if err != nil {
					return fmt.Errorf("reading the name of this machine: %w", err)
				}
				election.Identity = name + "_" + uuid.NewString()
				m, err := manager.New(hostclient.For(r.host, "controllers"), manager.Options{
					Controllers: controllers, Import: r.config.Imports.Controller, Schedule: r.config.ScheduleOptions(), Election: election,
				})
				if err != nil {
					return err
				}
				r.group.Start("controllers", m.Run)
				return nil
			})
		},
	}
	var sections cliflag.NamedFlagSets
	sections.FlagSet("weir").StringSliceVar((*[]string)(&controllers), "controllers", controllers,
		"Controllers to run: '*' is all, 'NAME' is that one, '-NAME' is all but that one. They are: "+strings.Join(manager.Names(), ", ")+".")
	election.AddFlags(sections.FlagSet("leader election"))
	o.addTo(cmd, sections)
	return cmd
}
