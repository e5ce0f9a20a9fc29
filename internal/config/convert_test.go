package config

import (
	"errors"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"weir.dev/weir/internal/imageapi/validation"
	"weir.dev/weir/internal/pullsecrets"
	"weir.dev/weir/internal/reference"
	"weir.dev/weir/internal/upstream"
)

// leaves calls visit with every setting below v and its path. Settings of list items
// have "[]" in theirs; they are visited on a zero item.
func leaves(path string, v reflect.Value, visit func(path string, v reflect.Value)) {
	_, scalar := scalars[v.Type()]
	switch {
	case !scalar && v.Kind() == reflect.Struct:
		for i := range v.NumField() {
			name, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("json"), ",")
			at := strings.TrimPrefix(path+"."+name, ".")
			if name == "" {
				at = path
			}
			leaves(at, v.Field(i), visit)
		}
	case v.Kind() == reflect.Slice && v.Type().Elem().Kind() == reflect.Struct:
		visit(path, v)
		leaves(path+"[]", reflect.New(v.Type().Elem()).Elem(), visit)
	default:
		visit(path, v)
	}
}

// change gives a setting another value.
func change(t *testing.T, path string, v reflect.Value) {
	switch value := v.Addr().Interface().(type) {
	case *metav1.Duration:
		value.Duration += time.Second
	case *resource.Quantity:
		value.Add(resource.MustParse("1Ki"))
	case **bool:
		*value = new(true)
	case *[]string:
		*value = []string{"10.1.2.3"}
	case *[]AllowedRegistry:
		*value = []AllowedRegistry{{DomainName: "only.example.com"}}
	default:
		switch v.Kind() {
		case reflect.String:
			v.SetString("changed.example.com")
		case reflect.Bool:
			v.SetBool(!v.Bool())
		case reflect.Int:
			v.SetInt(v.Int() + 1)
		case reflect.Float64:
			v.SetFloat(v.Float() + 1)
		default:
			t.Fatalf("%s: no way to change a %s", path, v.Type())
		}
	}
}

// Every setting reaches the options of some package: changing it changes them.
func TestEverySettingHasAnEffect(t *testing.T) {
	directly := map[string]bool{ // read by whoever composes the process
		"apiVersion": true, "kind": true,
		"imports.mode": true, "imports.maxImagesBulkImportedPerRepository": true, "imports.nodeCredentialsFile": true,
	}
	before := options(t, Default())
	count := 0
	changed := Default()
	leaves("", reflect.ValueOf(changed).Elem(), func(path string, v reflect.Value) {
		count++
		if directly[path] || strings.Contains(path, "[]") || isComposed(path) {
			return
		}
		saved := reflect.New(v.Type()).Elem()
		saved.Set(v)
		if q, ok := v.Interface().(resource.Quantity); ok {
			saved.Set(reflect.ValueOf(q.DeepCopy()))
		}
		change(t, path, v)
		if cmp.Equal(before, options(t, changed), compare) {
			t.Errorf("%s changes nothing", path)
		}
		v.Set(saved)
	})
	if count < 60 {
		t.Errorf("visited %d settings only", count)
	}
}

// isComposed tells the settings of the registry's parts, which are handed to them as
// they are by whoever composes the process.
func isComposed(path string) bool {
	for _, section := range []string{"storage", "tokens", "manifests", "uploads", "pullThrough", "requests", "metrics"} {
		if strings.HasPrefix(path, "registry."+section+".") {
			return true
		}
	}
	return false
}

// compare compares by value what has unexported fields.
var compare = cmp.Options{cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })}

func upstreamOptions(t *testing.T, c *Configuration) upstream.Options {
	t.Helper()
	o, err := c.UpstreamOptions()
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func options(t *testing.T, c *Configuration) []any {
	t.Helper()
	allowed, err := c.AllowedRegistries()
	if err != nil {
		t.Fatal(err)
	}
	return []any{c.EtcdOptions("dir"), c.Registries(), allowed.String(), upstreamOptions(t, c), c.ImporterOptions(nil), c.ImportControllerOptions(), c.ScheduleOptions(), c.CacheBytes()}
}

// No limit is left to the packages' own defaults: a new one there has to become a
// setting, or be excepted here.
func TestEveryOptionIsSet(t *testing.T) {
	c := Default()
	c.Imports.Addresses = AddressesConfiguration{Allow: []string{"10.1.2.3"}, DenyLoopback: new(true), DenyPrivate: true}
	c.Imports.DefaultPlatform = Platform{OS: "linux", Architecture: "arm64"}
	c.Imports.Retry.Disabled, c.Schedule.Disabled, c.Schedule.MaxPerMinute = true, true, 60
	u, i := upstreamOptions(t, c), c.ImporterOptions(nil)
	u.Addresses.AllowPorts = []netip.AddrPort{{}} // follows from flags
	all := []any{u.Addresses, u.Limits, u.Timeouts, u.Budget, i.Limits, i.DefaultPlatform, i.Timeout, i.Concurrency,
		c.ImportControllerOptions(), c.ImportControllerOptions().Retry, c.ScheduleOptions()}
	for _, o := range all {
		v := reflect.ValueOf(o)
		if v.Kind() != reflect.Struct {
			if v.IsZero() {
				t.Errorf("%s is not set", v.Type())
			}
			continue
		}
		for f := range v.NumField() {
			if v.Field(f).IsZero() {
				t.Errorf("%s.%s is not set", v.Type(), v.Type().Field(f).Name)
			}
		}
	}
}

func TestUpstreamOptions(t *testing.T) {
	c := mustParse(t, header+`
imports:
  hosts: {retries: 0, maxPause: 2m}
  addresses: {allow: [169.254.10.7/24, 100.100.100.200, "fd00:ec2::254"], denyPrivate: true}
  timeouts: {tlsHandshake: 3s}
`)
	o := upstreamOptions(t, c)
	if o.Budget.Retries != -1 {
		t.Errorf("retries: 0 became %d, want -1 (never)", o.Budget.Retries)
	}
	if o.Limits.RetryAfter != 2*time.Minute {
		t.Errorf("maxPause: 2m became %s", o.Limits.RetryAfter)
	}
	if o.Timeouts.TLS != 3*time.Second {
		t.Errorf("tlsHandshake: 3s became %s", o.Timeouts.TLS)
	}
	want := upstream.AddressPolicy{DenyPrivate: true, Allow: []netip.Prefix{
		netip.MustParsePrefix("169.254.10.0/24"), netip.MustParsePrefix("100.100.100.200/32"), netip.MustParsePrefix("fd00:ec2::254/128"),
	}}
	if diff := cmp.Diff(want, o.Addresses, compare); diff != "" {
		t.Errorf("addresses (-want +got):\n%s", diff)
	}
	c.Imports.Addresses.Allow = []string{"nowhere"}
	if _, err := c.UpstreamOptions(); err == nil {
		t.Error("an address that Validate refuses was accepted")
	}
	client, err := upstream.NewClient(o)
	if err != nil {
		t.Fatal(err)
	}
	client.Close()
}

func TestAllowedRegistries(t *testing.T) {
	c := mustParse(t, header+`
registry: {internalHostname: "registry.weir.svc:5000"}
imports: {allowedRegistries: [{domainName: "*.example.com"}]}
`)
	allowed, err := c.AllowedRegistries()
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]bool{
		"quay.example.com/a/b":       true,
		"registry.weir.svc:5000/a/b": true,
		"docker.io/library/busybox":  false,
	} {
		spec, err := reference.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		if err := allowed.Allowed(spec, validation.TransportSecure); (err == nil) != want {
			t.Errorf("Allowed(%s) = %v, want allowed = %t", text, err, want)
		}
	}
	c.Imports.AllowedRegistries = append(c.Imports.AllowedRegistries, AllowedRegistry{DomainName: "a/b"})
	if _, err := c.AllowedRegistries(); err == nil {
		t.Error("an entry that Validate refuses was accepted")
	}
}

func TestRegistries(t *testing.T) {
	c := mustParse(t, header+"registry: {internalHostname: 'in.example.com:5000', externalHostnames: [first.example.com, second.example.com]}")
	if r := c.Registries(); r.Internal != "in.example.com:5000" || r.Public != "first.example.com" {
		t.Errorf("Registries() = %+v", r)
	}
	if r := Default().Registries(); r.Internal != "" || r.Public != "" {
		t.Errorf("Registries() of the default = %+v, want none", r)
	}
}

func TestNodeCredentials(t *testing.T) {
	c := Default()
	if node, warnings, err := c.NodeCredentials(); node != nil || warnings != nil || err != nil {
		t.Errorf("without a file: %v, %v, %v", node, warnings, err)
	}
	c.Imports.NodeCredentialsFile = filepath.Join(t.TempDir(), "config.json")
	if err := os.WriteFile(c.Imports.NodeCredentialsFile, []byte(`{"auths":{"quay.example.com":{"username":"me","password":"secret"}}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	node, _, err := c.NodeCredentials()
	if err != nil {
		t.Fatal(err)
	}
	credentials, _ := pullsecrets.New(nil, node)
	if found := credentials.Lookup("quay.example.com", "a/b"); len(found) != 1 || found[0].Username != "me" {
		t.Errorf("found %v", found)
	}
}

// The scraper's secret is a file's text; one without a text would let anybody in.
func TestMetricsSecret(t *testing.T) {
	path := filepath.Join(t.TempDir(), "secret")
	for content, want := range map[string]string{"s3cret": "s3cret", " s3cret\n": "s3cret", "": "", "\n": ""} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		c := MetricsConfiguration{SecretFile: path}
		if got, err := c.Secret(); got != want || (err == nil) != (want != "") {
			t.Errorf("%q is read as %q, %v", content, got, err)
		}
	}
	if got, err := new(MetricsConfiguration).Secret(); got != "" || err != nil {
		t.Errorf("without a file: %q, %v", got, err)
	}
	if _, err := (&MetricsConfiguration{SecretFile: path + "-none"}).Secret(); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("of a missing file: %v", err)
	}
}
