package main

import (
	"fmt"

	"github.com/spf13/cobra"
	cliflag "k8s.io/component-base/cli/flag"

	"weir.dev/weir/internal/standalone"
)

func newCheckCommand() *cobra.Command {
	o := standalone.NewOptions()
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Check configuration and flags without starting anything",
		Long: `Takes the flags of weir serve and reports everything that is wrong with them and with
the files that they name: the configuration, registries.conf, authorities, certificates,
the audit policy, authentication and traces. It starts nothing, writes nothing, and asks neither etcd nor the
registry's storage, so it can be run beside a server.`,
		Example: `  weir check --config weir.yaml --registries-conf registries.conf`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if wantsHelp(cmd) {
				return nil
			}
			if err := standalone.Check(o); err != nil {
				return err
			}
			fmt.Fprintln(cmd.OutOrStdout(), "No mistakes found.")
			return nil
		},
	}
	var sections cliflag.NamedFlagSets
	o.AddFlags(&sections)
	addSections(cmd, sections)
	return cmd
}
