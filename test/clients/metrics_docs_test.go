package clients_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The commands of the documentation give a Prometheus what it needs.
func TestDocumentedScraper(t *testing.T) {
	page, err := os.ReadFile("../../docs/operate/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	_, commands, found := strings.Cut(string(page), "```shell\nkubectl apply -f - <<EOF\n")
	commands, _, _ = strings.Cut(commands, "```")
	if !found {
		t.Fatal("the page has no manifest for a scraper")
	}
	shell := exec.CommandContext(t.Context(), "bash", "-e", "-c", "kubectl apply -f - <<EOF\n"+commands)
	shell.Dir = t.TempDir()
	shell.Env = env.Kubectl(t).Cmd(t.Context()).Env
	if output, err := shell.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	token, err := os.ReadFile(filepath.Join(shell.Dir, "weir-token"))
	if err != nil {
		t.Fatal(err)
	}
	scraper := asToken(t, "monitoring", strings.TrimSpace(string(token)))
	eventually(t, "the right to read metrics", scraper, "get", "--raw", "/metrics")
	wantPart(t, scraper.Run(t, "get", "--raw", "/metrics"), "\nweir_", "\napiserver_request_total")
	wantPart(t, scraper.Refused(t, "get", "namespaces"), "(Forbidden)")
}
