package main

import (
	"fmt"
	"slices"

	"github.com/spf13/cobra"
	cliflag "k8s.io/component-base/cli/flag"
	"k8s.io/component-base/term"
)

// shown are the sections of flags that help shows. The others are Kubernetes', some two
// hundred flags and all feature gates, and --help-all shows them.
var shown = []string{"weir", "registry", "leader election", "secure serving", "auditing", "logs", "global"}

const helpAll = "help-all"

// addSections adds flags to a command, and its help in sections.
func addSections(cmd *cobra.Command, sections cliflag.NamedFlagSets) {
	sections.FlagSet("global").Bool(helpAll, false, "Help with the flags of Kubernetes' own servers and their feature gates too.")
	for _, fs := range sections.FlagSets {
		cmd.Flags().AddFlagSet(fs)
	}
	columns, _, _ := term.TerminalSize(cmd.OutOrStdout())
	cmd.SetUsageFunc(func(cmd *cobra.Command) error {
		fmt.Fprintf(cmd.OutOrStderr(), "Usage:\n  %s\n\n%s --help shows its flags.\n", cmd.UseLine(), cmd.CommandPath())
		return nil
	})
	cmd.SetHelpFunc(func(cmd *cobra.Command, _ []string) {
		text := cmd.Long
		if text == "" {
			text = cmd.Short
		}
		fmt.Fprintf(cmd.OutOrStdout(), "%s\n\nUsage:\n  %s\n", text, cmd.UseLine())
		all, _ := cmd.Flags().GetBool(helpAll)
		cliflag.PrintSections(cmd.OutOrStdout(), chosen(sections, all), columns)
		if !all {
			fmt.Fprintf(cmd.OutOrStdout(), "\nThere are more, of Kubernetes' own servers: %s --%s\n", cmd.CommandPath(), helpAll)
		}
	})
}

// chosen are the sections to show.
func chosen(sections cliflag.NamedFlagSets, all bool) cliflag.NamedFlagSets {
	if all {
		return sections
	}
	order := slices.DeleteFunc(slices.Clone(shown), func(name string) bool { return sections.FlagSets[name] == nil })
	return cliflag.NamedFlagSets{Order: order, FlagSets: sections.FlagSets}
}

// wantsHelp shows help and reports true when --help-all was given.
func wantsHelp(cmd *cobra.Command) bool {
	all, _ := cmd.Flags().GetBool(helpAll)
	if all {
		_ = cmd.Help() // it is written to standard output
	}
	return all
}
