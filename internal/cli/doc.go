// Package cli provides what the subcommands of weir do that are clients of a server: a
// file each, doing apart from printing.
package cli
