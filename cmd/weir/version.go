package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"weir.dev/weir/internal/buildinfo"
)

func newVersionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version of this program",
		Args:  cobra.NoArgs,
		Run: func(cmd *cobra.Command, _ []string) {
			b := buildinfo.Get()
			fmt.Fprintf(cmd.OutOrStdout(), "weir %s\ncommit %s of %s\n%s, Kubernetes %s\n", b.Version, b.Commit, b.Date, b.Go, b.Kubernetes)
		},
	}
}
