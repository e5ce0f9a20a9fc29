package config

import (
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	imagev1 "github.com/openshift/api/image/v1"

	"weir.dev/weir/internal/settings"

	"sigs.k8s.io/yaml"
)

var update = flag.Bool("update", false, "write the golden files anew")

const header = "apiVersion: " + APIVersion + "\nkind: " + Kind + "\n"

func mustParse(t *testing.T, text string) *Configuration {
	t.Helper()
	c, err := Parse([]byte(text))
	if err != nil {
		t.Fatalf("Parse: %v\n%s", err, text)
	}
	return c
}

func assertSame(t *testing.T, what string, got, want *Configuration) {
	t.Helper()
	if !same(got, want) {
		t.Errorf("%s (-want +got):\n%s", what, cmp.Diff(text(want), text(got)))
	}
}

// same reports whether all settings are equal.
func same(a, b *Configuration) bool { return text(a) == text(b) }

func text(c *Configuration) string {
	written, err := yaml.Marshal(c)
	if err != nil {
		return err.Error()
	}
	return string(written)
}

// wantGolden compares a text with a golden file, which -update writes.
func wantGolden(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", file, diff)
	}
}

func TestDefaultIsValid(t *testing.T) {
	if errs := Default().Validate(); len(errs) > 0 {
		t.Errorf("Default does not pass its own rules: %v", errs.ToAggregate())
	}
}

func TestDefaultsStandWhereAFileSaysNothing(t *testing.T) {
	for name, text := range map[string]string{
		"header only":      header,
		"empty sections":   header + "registry:\nimports:\nschedule: ~\n",
		"empty mappings":   header + "registry: {}\nimports: {retry: {}, limits: }\nschedule: {}\n",
		"null settings":    header + "imports:\n  workers:\n  timeout: null\n  limits:\n    manifestSize:\n",
		"json":             `{"apiVersion":"` + APIVersion + `","kind":"` + Kind + `","imports":{"workers":50}}`,
		"document markers": "---\n" + header + "...\n",
	} {
		t.Run(name, func(t *testing.T) { assertSame(t, "configuration", mustParse(t, text), Default()) })
	}
}

func TestWrittenOutAndReadAgain(t *testing.T) {
	text, err := yaml.Marshal(Default())
	if err != nil {
		t.Fatal(err)
	}
	assertSame(t, "configuration", mustParse(t, string(text)), Default())
}

func TestParseReadsEveryType(t *testing.T) {
	c := mustParse(t, header+`
registry:
  internalHostname: registry.weir.svc:5000
  externalHostnames: [registry.example.com, second.example.com]
imports:
  mode: PreserveOriginal
  allowedRegistries:
    - &entry {domainName: "*.example.com", insecure: true}
    - domainName: docker.io
  maxImagesBulkImportedPerRepository: -1
  timeout: 1m30s
  eventsPerSecond: 0.5
  workers: &workers 7
  retry: {disabled: true, workers: *workers}
  hosts: {retries: 0}
  addresses: {allow: [169.254.10.1, "fd00:ec2::/32"]}
  limits: {manifestSize: 65536, configSize: 64k, imageSize: "1984Ki"}
`)
	want := Default()
	want.Registry.InternalHostname = "registry.weir.svc:5000"
	want.Registry.ExternalHostnames = []string{"registry.example.com", "second.example.com"}
	i := &want.Imports
	i.Mode = imagev1.ImportModePreserveOriginal
	i.AllowedRegistries = []AllowedRegistry{{DomainName: "*.example.com", Insecure: true}, {DomainName: "docker.io"}}
	i.MaxImagesBulkImportedPerRepository = -1
	i.Importer.Timeout = settings.Duration(90 * time.Second)
	i.Controller.EventsPerSecond = 0.5
	i.Controller.Workers, i.Controller.Retry.Workers = 7, 7
	i.Controller.Retry.Disabled = true
	i.Client.Hosts.Retries = 0
	i.Client.Addresses.Allow = []string{"169.254.10.1", "fd00:ec2::/32"}
	l := &i.Importer.Limits
	l.Client.ManifestSize, l.Client.ConfigSize, l.ImageSize = 65536, 64000, 1984<<10
	assertSame(t, "configuration", c, want)
}

// One file with every kind of mistake: all are reported at once, each with its path
// and line.
func TestAllMistakesAtOnce(t *testing.T) {
	_, err := Load("testdata/mistakes.yaml")
	var mistakes *Error
	if !errors.As(err, &mistakes) {
		t.Fatalf("Load: %v, want an *Error", err)
	}
	wantGolden(t, "testdata/mistakes.golden", err.Error()+"\n")
	for _, m := range mistakes.Mistakes {
		if m.Field == "" || m.Line == 0 {
			t.Errorf("%v: no path or no line", m)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for _, test := range []struct{ name, text, want string }{
		{"nothing", "", "apiVersion: Required value: must be config.weir.dev/v1alpha1"},
		{"a comment", "# later\n", "kind: Required value: must be WeirConfiguration"},
		{"a list", "- a\n", `line 1: document: Invalid value: "[…]": must be a mapping`},
		{"a word", "weir", `line 1: document: Invalid value: "weir": must be a mapping`},
		{"no YAML", "a: [", "the configuration is not valid YAML: yaml: line 1"},
		{"an unquoted wildcard", header + "imports:\n  allowedRegistries:\n  - domainName: *.example.com\n", "(put text that begins with * or & in quotes)"},
		{"a tab before a setting", header + "imports:\n\tworkers: 1\n", "tabs are not allowed"},
		{"two documents", header + "---\n" + header, "the configuration has a second document, at line 3"},
		{"broken behind the end", header + "---\n[", "the configuration is not valid YAML"},
		{"a list that holds itself", header + "imports: {allowedRegistries: &a [*a]}", `imports.allowedRegistries[0]: Invalid value: "[…]": must be a mapping`},
		{"a merge key", header + "imports: {<<: {workers: 1}}", `imports["<<"]: Forbidden: unknown field; known here: addresses,`},
		{"a setting that was removed", header + "imports: {retry: {maxRetryAfter: 1h}}", "imports.retry.maxRetryAfter: Forbidden: it was removed and has no effect; delete it."},
		{"a limit that is no setting any more", header + "imports: {limits: {redirects: 3}}", "imports.limits.redirects: Forbidden: it is a constant now"},
		{"a mapping as key", header + "imports: {{a: b}: c}", `imports[""]: Forbidden: unknown field`},
		{"another case", header + "Imports: {}", "Imports: Forbidden: unknown field; known here: apiVersion, caches, etcd, imports, kind, registry, schedule"},
		{"an exponent that takes hours", header + "imports: {limits: {requestSize: 1e999999999}}", `imports.limits.requestSize: Invalid value: "1e999999999": must be a number of bytes`},
		{"a part of a byte", header + "imports: {limits: {requestSize: 500m}}", `imports.limits.requestSize: Invalid value: "500m"`},
		{"not a number", header + "imports: {eventsPerSecond: .nan}", `imports.eventsPerSecond: Invalid value: ".nan": must be a number`},
		{"a NUL in a path", header + `imports: {nodeCredentialsFile: "a\0b"}`, "imports.nodeCredentialsFile: Invalid value"},
		{"a small reserve", header + "etcd: {reserve: 1Mi}", `etcd.reserve: Invalid value: "1Mi": must be from 64Mi to 1Ti bytes`},
		{"a small quota", header + "etcd: {quota: 0}", `etcd.quota: Invalid value: "0": must be from 32Mi to 1Ti bytes`},
		{"a wrong value given twice", header + "imports:\n  workers: 0\n  workers: 0\n", "line 4: imports.workers: Invalid value: 0: must be from 1 to 10000"},
	} {
		t.Run(test.name, func(t *testing.T) {
			c, err := Parse([]byte(test.text))
			if err == nil {
				t.Fatalf("Parse accepted it: %+v", c)
			}
			if !strings.Contains(err.Error(), test.want) {
				t.Errorf("error = %v\nwant it to contain %s", err, test.want)
			}
		})
	}
}

func TestMessagesStayShort(t *testing.T) {
	long := strings.Repeat("ä", 5000)
	_, err := Parse([]byte(header + "imports:\n  mode: " + long + "\n  workers: " + long + "\n  " + long + ": 1\n"))
	if err == nil || len(err.Error()) > 2000 {
		t.Errorf("error has %d bytes, want some, but at most 2000", len(err.Error()))
	}
}

func TestLoad(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for _, test := range []struct{ name, file, want string }{
		{"relative", "auth/config.json", filepath.Join(dir, "auth/config.json")},
		{"absolute", "/var/lib/kubelet/config.json", "/var/lib/kubelet/config.json"},
		{"none", `""`, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			c, err := Load(write("weir.yaml", header+"imports: {nodeCredentialsFile: "+test.file+"}"))
			if err != nil {
				t.Fatal(err)
			}
			if got := c.Imports.NodeCredentialsFile; got != test.want {
				t.Errorf("nodeCredentialsFile = %q, want %q", got, test.want)
			}
		})
	}

	for _, test := range []struct{ name, path, want string }{
		{"missing", filepath.Join(dir, "none.yaml"), "none.yaml"},
		{"a folder", dir, dir},
		{"too large", write("large.yaml", "#"+strings.Repeat("x", maxFile)), "larger than 1048576 bytes"},
		{"no YAML", write("broken.yaml", "a: ["), "broken.yaml: the configuration is not valid YAML"},
		{"mistakes", write("wrong.yaml", header+"imports: {workers: 0}"), "wrong.yaml:3: imports.workers: Invalid value: 0"},
		{"mistakes of nothing", write("empty.yaml", ""), "empty.yaml: apiVersion: Required value"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if _, err := Load(test.path); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error = %v, want it to contain %q", err, test.want)
			}
		})
	}
}

func TestCheckHostname(t *testing.T) {
	for host, valid := range map[string]bool{
		"registry.example.com":      true,
		"registry.example.com:5000": true,
		"localhost:5000":            true,
		"10.0.0.1:5000":             true,
		"Registry.Example.com":      true,
		"":                          false,
		":5000":                     false,
		"registry.example.com:":     false,
		"registry.example.com:0":    false,
		"registry.example.com:x":    false,
		"registry.example.com/path": false,
		"https://example.com":       false,
		"registry":                  false, // a pull spec would name a repository of Docker Hub
		"user@example.com":          false,
		"a b.example.com":           false,
	} {
		if err := CheckHostname(host); (err == nil) != valid {
			t.Errorf("CheckHostname(%q) = %v, want valid = %t", host, err, valid)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, file := range []string{"testdata/mistakes.yaml", "testdata/valid.yaml"} {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add([]byte(header + "imports: &a {retry: *a, limits: {requestSize: 8Mi}}"))
	f.Add([]byte(header + "imports: {timeout: !!int 5, workers: !!binary aGk=, eventsPerSecond: 0x10}"))
	f.Add([]byte(header + "? [a, b]\n: !<tag:x> |\n  text\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := Parse(data)
		if err != nil {
			if c != nil || err.Error() == "" {
				t.Fatalf("Parse returned %v with error %q", c, err)
			}
			return
		}
		if errs := c.Validate(); len(errs) > 0 {
			t.Fatalf("a configuration that was accepted is not valid: %v", errs.ToAggregate())
		}
		if _, err := c.AllowedRegistries(); err != nil {
			t.Fatalf("a configuration that was accepted has a list that is not valid: %v", err)
		}
		text, err := yaml.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		again, err := Parse(text)
		if err != nil {
			t.Fatalf("written out, it is refused: %v\n%s", err, text)
		}
		assertSame(t, "written out and read again", again, c)
	})
}

func TestRegistrySettings(t *testing.T) {
	c, err := Parse([]byte(header + `registry:
  storage:
    driver: s3
    parameters: {bucket: weir, chunksize: 10485760, secure: false, accesskey: "key"}
  manifests: {maxSize: 8Mi, sparse: All}
  requests: {read: {maxRunning: 100, maxInQueue: 10, maxWaitInQueue: 5s}}
`))
	if err != nil {
		t.Fatal(err)
	}
	want := Default()
	want.Registry.Storage = StorageConfiguration{Driver: "s3", Parameters: map[string]any{"bucket": "weir", "chunksize": 10485760, "secure": false, "accesskey": "key"}, Scrub: Default().Registry.Storage.Scrub}
	want.Registry.Manifests.MaxSize, want.Registry.Manifests.Sparse = 8<<20, SparseAll
	want.Registry.Requests.Read = RequestLimit{MaxRunning: 100, MaxInQueue: 10, MaxWaitInQueue: settings.Duration(5 * time.Second)}
	assertSame(t, "configuration", c, want)
}

// What is wrong with a registry setting is told with its path; the parameters of
// storage, which may be secrets, are not repeated.
func TestRegistryMistakes(t *testing.T) {
	_, err := Parse([]byte(header + `registry:
  storage:
    driver: tape
    parameters: {secretkey: [hunter2], bucket: a, bucket: b}
  tokens: {realm: "https://registry.example.com/token", lifetime: 2h, keyMaxAge: 1h}
  manifests: {sparse: Some, maxSize: 0}
  uploads: {maxAge: 1m}
  requests: {write: {maxRunning: -1}}
`))
	if err == nil {
		t.Fatal("taken")
	}
	for _, path := range []string{
		"storage.driver", "storage.parameters.secretkey", "storage.parameters.bucket", "tokens.realm", "tokens.lifetime",
		"tokens.keyMaxAge", "manifests.sparse", "manifests.maxSize", "uploads.maxAge", "requests.write.maxRunning",
	} {
		if !strings.Contains(err.Error(), "registry."+path+":") {
			t.Errorf("registry.%s is not named in:\n%v", path, err)
		}
	}
	if strings.Contains(err.Error(), "hunter2") {
		t.Errorf("a secret is repeated:\n%v", err)
	}
}

// The defaults are a contract with every file that leaves a setting out.
func TestDefaultsGolden(t *testing.T) {
	wantGolden(t, "testdata/default.golden", text(Default()))
}

func TestRemovedSettingsAreRefusedWithARemedy(t *testing.T) {
	for path, remedy := range removed {
		parts := strings.Split(path, ".")
		document := header + parts[0] + ": {" + parts[1] + ": {" + parts[2] + ": 1}}\n"
		if _, err := Parse([]byte(document)); err == nil || !strings.Contains(err.Error(), path+": Forbidden: "+remedy) {
			t.Errorf("%s: %v", path, err)
		}
	}
}
