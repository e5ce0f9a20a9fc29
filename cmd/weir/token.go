package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"weir.dev/weir/internal/cli"
)

func newTokenCommand() *cobra.Command {
	o := cli.TokenOptions{Expires: cli.DefaultExpires}
	cmd := &cobra.Command{
		Use:   "token",
		Short: "Print a password for the integrated registry",
		Long: `Asks the server of a kubeconfig for a password for its registry, as the user of that
kubeconfig, and prints it. The user name that goes with it may be any.

It is for users whom a client certificate identifies: an API token, as kubectl create
token prints it, is a password already.`,
		Example: `  weir token | podman login --tls-verify=false -u me --password-stdin 127.0.0.1:5000
  weir token --kubeconfig weir-data/admin.kubeconfig --expires 12h`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			token, err := cli.Token(cmd.Context(), o)
			if err != nil {
				return err
			}
			fmt.Fprintln(cmd.OutOrStdout(), token)
			return nil
		},
	}
	cmd.Flags().StringVar(&o.Kubeconfig, "kubeconfig", o.Kubeconfig, "The kubeconfig to use. Default: what kubectl takes.")
	cmd.Flags().StringVar(&o.Context, "context", o.Context, "The context of the kubeconfig to use. Default: its current one.")
	cmd.Flags().DurationVar(&o.Expires, "expires", o.Expires, fmt.Sprintf("How long the password is good for, from %s to %s.", cli.MinExpires, cli.MaxExpires))
	return cmd
}
