package main

import (
	"encoding/json"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"weir.dev/weir/internal/buildinfo"
)

func newVersionCommand() *cobra.Command {
	var format string
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Print the version of this program",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return printVersion(cmd.OutOrStdout(), format, buildinfo.Get())
		},
	}
	cmd.Flags().StringVarP(&format, "output", "o", format, "Format of the output: 'json', or lines of text without it.")
	return cmd
}

func printVersion(out io.Writer, format string, b buildinfo.Info) error {
	switch format {
	case "":
		_, err := fmt.Fprintf(out, "weir %s\ncommit %s of %s\n%s, Kubernetes %s\n", b.Version, b.Commit, b.Date, b.Go, b.Kubernetes)
		return err
	case "json":
		encoder := json.NewEncoder(out)
		encoder.SetIndent("", "  ")
		return encoder.Encode(b)
	}
	return fmt.Errorf("--output: %q is no format; choose json, or leave it out", format)
}
