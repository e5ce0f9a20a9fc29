package depcheck

// Module is the import path that all rules are about.
const Module = "weir.dev/weir"

// Layers are the components from the top down, named by their folder. A component
// may import what stands in a lower layer, never a peer or something above.
var Layers = [][]string{
	{"cmd", "docs", "hack", "test", "internal/depcheck"},
	{"internal/testenv"},
	{"internal/standalone", "internal/cli", "internal/backup"},
	{"internal/imageserver", "internal/outbound", "internal/registryserver"},
	{"internal/config"},
	{"internal/apiserver", "internal/controller", "internal/etcd", "internal/host", "internal/ociregistry"},
	{"internal/auth", "internal/blobstore", "internal/etcdroom", "internal/importer", "internal/inbound", "internal/probes", "internal/watchprogress"},
	{"internal/imageapi", "internal/stream", "internal/upstream"},
	{"internal/pullsecrets", "internal/registryrules"},
	{"internal/buildinfo", "internal/caches", "internal/component", "internal/diskspace", "internal/hostclient", "internal/manifest", "internal/quietlog", "internal/reference", "internal/weirapi", "internal/yamlhint"},
	{"internal/settings"},
	{"internal/foreignjson", "internal/foreigntext"},
}

// layersWhy is the reason for Layers.
const layersWhy = "arrows point down only: a request is read from its component downwards, and a part can be " +
	"changed knowing only what stands above it; give what two peers share a place of its own further down"

// Rule forbids imports.
type Rule struct {
	// In are the folders it is about, "." for the whole module; Except are folders
	// inside them that it leaves alone.
	In, Except []string
	// Not are the import paths that are forbidden, each with everything below it.
	Not []string
	// Reach extends the rule to what is imported indirectly, whatever module it is in.
	// Without it the rule is about the import lines of the folders' own files.
	Reach bool
	// Tests extends the rule to the folders' test files.
	Tests bool
	// Why is the reason, shown to the author of an import.
	Why string
}

// Rules are all rules but that of the layers.
var Rules = []Rule{
	{
		In: []string{"."}, Except: []string{"internal/host"},
		Not: []string{"k8s.io/kubernetes"},
		Why: "the control plane is embedded in one place, so that in a cluster, where the cluster is the host, " +
			"none of it runs, and a new release of Kubernetes is one package's work",
	},
	{
		In: []string{"internal"}, Except: []string{"internal/host", "internal/standalone", "internal/testenv"},
		Not: []string{Module + "/internal/host"},
		Why: "components run against any API server: only the composition of weir serve has the control plane",
	},
	{
		In:    []string{"internal/reference"},
		Not:   []string{"net", "os/exec", "k8s.io", "github.com", "google.golang.org", "go.etcd.io"},
		Reach: true,
		Why:   "names are parsed everywhere, on every request: this package is pure and has the standard library alone",
	},
	{
		In: []string{"internal/manifest"},
		Not: []string{
			"net", "os/exec", "k8s.io", "google.golang.org", "go.etcd.io",
			"github.com/openshift", "github.com/distribution", "github.com/google",
		},
		Reach: true,
		Why:   "manifests are foreign bytes, which one pure reader reads for all: it opens nothing and knows no API",
	},
	{
		In:    []string{"internal/stream"},
		Not:   serversAndClients,
		Reach: true,
		Why:   "the domain is pure: it is decided in values and tested in tables, so it reaches neither a client nor a server",
	},
	{
		In:  []string{"internal/stream"},
		Not: []string{"net", "net/http", "os"},
		Why: "the domain is pure: it opens nothing and sends nothing",
	},
	{
		In:    []string{"internal/importer"},
		Not:   []string{"k8s.io/kubernetes", "k8s.io/apiserver", "k8s.io/client-go", "github.com/openshift/client-go"},
		Reach: true,
		Why:   "importing makes values of what a registry says; who stores them and with which rights is its caller's business",
	},
	{
		In:    []string{"internal/cli"},
		Not:   []string{"k8s.io/apiserver", "k8s.io/kubernetes", "go.etcd.io"},
		Reach: true,
		Why:   "commands that are clients run where no server is, and link none",
	},
	{
		In:  []string{"cmd", "internal"},
		Not: []string{Module + "/internal/testenv", "testing", "net/http/httptest"}, Except: []string{"internal/testenv"},
		Why: "what helps tests is no part of the program",
	},
}

// serversAndClients are the libraries that open connections.
var serversAndClients = []string{
	"k8s.io/kubernetes", "k8s.io/apiserver", "k8s.io/kube-aggregator", "k8s.io/apiextensions-apiserver",
	"k8s.io/client-go", "k8s.io/component-base", "github.com/openshift/client-go",
	"github.com/google/go-containerregistry", "go.podman.io/image",
	"go.etcd.io", "google.golang.org/grpc", "os/exec",
}

// vagueNames are package names that say nothing about what a package provides.
var vagueNames = []string{"util", "utils", "common", "helper", "helpers", "misc", "shared", "base", "lib"}

const vagueNamesWhy = "a package is a noun that completes “this package provides …”"
