package standalone_test

import (
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"weir.dev/weir/internal/config"
	"weir.dev/weir/internal/standalone"
	"weir.dev/weir/internal/testenv"
)

// TestCachesAreDocumented: every cache of a server is in its metrics and, with its bound, in the
// documentation, and no other.
func TestCachesAreDocumented(t *testing.T) {
	e := testenv.Start(t, testenv.WithRegistry, func(o *standalone.Options) {
		o.Config = config.Default()
		o.Config.Caches.Size = 96 << 20
	})
	text, err := e.Kube.Discovery().RESTClient().Get().AbsPath("/metrics").DoRaw(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(text), "\nweir_cache_limit_bytes 1.00663296e+08\n") {
		t.Error("the metrics do not have the bound")
	}
	names := func(pattern, text string) []string {
		found := map[string]bool{}
		for _, match := range regexp.MustCompile(pattern).FindAllStringSubmatch(text, -1) {
			found[match[1]] = true
		}
		return slices.Sorted(maps.Keys(found))
	}
	page, err := os.ReadFile("../../docs/operate/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(page), "\n## Caches\n")
	section, _, _ = strings.Cut(section, "\n## ")
	var cells []string
	for line := range strings.Lines(section) {
		if cell, _, found := strings.Cut(strings.TrimPrefix(line, "| "), " | "); found && strings.HasPrefix(line, "| `") {
			cells = append(cells, cell)
		}
	}
	documented := names("`([a-z_]+)`", strings.Join(cells, "\n"))
	for _, metric := range []string{"weir_cache_bytes", "weir_cache_entries"} {
		if got := names("\n"+metric+`{cache="([^"]*)"}`, string(text)); !slices.Equal(got, documented) {
			t.Errorf("%s has the caches\n%q, documented are\n%q", metric, got, documented)
		}
	}
}
