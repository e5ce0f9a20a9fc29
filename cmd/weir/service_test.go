package main

import (
	"os"
	"strings"
	"testing"
)

// The flags of the systemd unit are flags of weir serve.
func TestServiceUnit(t *testing.T) {
	content, err := os.ReadFile("../../examples/weir.service")
	if err != nil {
		t.Fatal(err)
	}
	_, command, found := strings.Cut(string(content), "\nExecStart=/usr/local/bin/weir serve")
	command, _, _ = strings.Cut(strings.ReplaceAll(command, "\\\n", " "), "\n")
	args := strings.Fields(command)
	if !found || len(args) == 0 {
		t.Fatalf("the unit has no command that starts weir serve: %q", content)
	}
	serve := newServeCommand()
	if err := serve.ParseFlags(args); err != nil {
		t.Errorf("the unit's flags %q: %v", args, err)
	}
	if rest := serve.Flags().Args(); len(rest) > 0 {
		t.Errorf("the unit's command has arguments beside flags: %q", rest)
	}
}
