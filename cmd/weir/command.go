package main

import (
	"github.com/spf13/cobra"

	"weir.dev/weir/internal/buildinfo"
)

func newCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "weir",
		Short: "Image streams for everyone",
		Long: `Weir serves the API group image.openshift.io/v1: image streams, which map tags to
immutable images, keep their history and follow outside registries.`,
		SilenceUsage: true,
		Version:      buildinfo.Get().Version, // weir --version
	}
	cmd.AddCommand(newServeCommand(), newAPIServerCommand(), newControllersCommand(), newRegistryCommand(), newCheckCommand(), newTokenCommand(), newBackupCommand(), newRestoreCommand(), newVerifyCommand(), newVersionCommand())
	return cmd
}
