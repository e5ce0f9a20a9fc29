package main

import (
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"weir.dev/weir/internal/cli"
)

func newVerifyCommand() *cobra.Command {
	o := cli.VerifyOptions{Token: cli.TokenOptions{Expires: cli.MinExpires}, Registry: "http://127.0.0.1:5000"}
	cmd := &cobra.Command{
		Use:   "verify",
		Short: "Compare image streams with the registry's storage",
		Long: `Compares the image streams of a running Weir with the storage of its registry, and lists
the images whose content is missing. Images that were imported are not listed: their content
comes from other registries.

It fails if content is missing. The server does the same when it starts and once a day, and
reports what is missing in its log, by Events and in the metric weir_registry_missing_images.`,
		Example: `  weir verify --kubeconfig weir-data/admin.kubeconfig
  weir verify --registry https://registry.example.com`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			table := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 8, 2, ' ', 0)
			missing := 0
			images, err := cli.Verify(cmd.Context(), o, func(m cli.Missing) {
				if missing++; missing == 1 {
					fmt.Fprintln(table, "REPOSITORY\tTAGS\tIMAGE\tMISSING")
				}
				what := "the link to the manifest"
				if !m.LinkMissing {
					what = strings.Join(m.DataMissing, ",")
				}
				fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", m.Repository, strings.Join(m.Tags, ","), m.Image, what)
			})
			if flushed := table.Flush(); flushed != nil {
				return flushed
			}
			switch {
			case err != nil:
				return err
			case missing > 0:
				return fmt.Errorf("the content of %d of %d images is missing: restore the registry's storage, or push the images again", missing, images)
			}
			fmt.Fprintf(cmd.OutOrStdout(), "The content of all %d images is there.\n", images)
			return nil
		},
	}
	cmd.Flags().StringVar(&o.Token.Kubeconfig, "kubeconfig", "", "The kubeconfig to use. Default: what kubectl takes.")
	cmd.Flags().StringVar(&o.Token.Context, "context", "", "The context of the kubeconfig to use. Default: its current one.")
	cmd.Flags().StringVar(&o.Registry, "registry", o.Registry, "The URL of the registry.")
	return cmd
}
