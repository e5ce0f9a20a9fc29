package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"weir.dev/weir/internal/buildinfo"
)

func TestVersion(t *testing.T) {
	for _, args := range []string{"version", "--version", "version -o json"} {
		var out bytes.Buffer
		cmd := newCommand()
		cmd.SetOut(&out)
		cmd.SetArgs(strings.Fields(args))
		if err := cmd.Execute(); err != nil {
			t.Errorf("%s: %v", args, err)
		}
		var info buildinfo.Info
		if args == "version -o json" {
			if err := json.Unmarshal(out.Bytes(), &info); err != nil || info != buildinfo.Get() {
				t.Errorf("%s: %+v, %v", args, info, err)
			}
		} else if !strings.Contains(out.String(), "weir ") || !strings.Contains(out.String(), buildinfo.Get().Version) {
			t.Errorf("%s: %q", args, out.String())
		}
	}
	if err := printVersion(&bytes.Buffer{}, "yaml", buildinfo.Info{}); err == nil || !strings.Contains(err.Error(), "--output") {
		t.Errorf("a format that there is not: %v", err)
	}
}
