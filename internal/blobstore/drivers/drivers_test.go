package drivers

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	storagedriver "github.com/distribution/distribution/v3/registry/storage/driver"
	"github.com/google/go-cmp/cmp"

	"weir.dev/weir/internal/blobstore/disk"
)

// parameters are as decoders of YAML and JSON give them.
type parameters = map[string]any

// A key of Azure has to be base64.
const key = "c2VjcmV0IG9mIHRoZSB0ZXN0cw=="

// valid are parameters that open, for each driver.
func valid(t testing.TB) map[string]parameters {
	keyFile := filepath.Join(t.TempDir(), "key.json")
	if err := os.WriteFile(keyFile, []byte(serviceAccount), 0o600); err != nil {
		t.Fatal(err)
	}
	s3 := parameters{"bucket": "b", "region": "eu-central-1", "accesskey": "AKIDEXAMPLE", "secretkey": "very secret"}
	return map[string]parameters{
		"filesystem": {"rootdirectory": t.TempDir(), "maxthreads": 50},
		"inmemory":   {},
		"s3":         s3,
		"s3aws":      s3,
		"gcs":        {"bucket": "b", "keyfile": keyFile},
		"azure":      {"accountname": "a", "container": "c", "accountkey": key},
	}
}

// serviceAccount has the form of a key of Google's, with a private key that is none.
const serviceAccount = `{"type":"service_account","project_id":"p","private_key_id":"id","private_key":"no private key",
"client_email":"a@p.iam.gserviceaccount.com","client_id":"1","token_uri":"https://oauth2.googleapis.com/token"}`

func TestOpen(t *testing.T) {
	names := map[string]string{"s3": "s3aws"}
	for name, parameters := range valid(t) {
		d, err := Open(t.Context(), name, parameters, "")
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		want := name
		if names[name] != "" {
			want = names[name]
		}
		if d.Name() != want {
			t.Errorf("%s is %s", name, d.Name())
		}
	}
	if got := slices.Sorted(func(yield func(string) bool) {
		for name := range valid(t) {
			yield(name)
		}
	}); !slices.Equal(got, Names()) {
		t.Errorf("%q are tested, there are %q", got, Names())
	}
}

func TestOpenFilesystem(t *testing.T) {
	data, root := t.TempDir(), filepath.Join(t.TempDir(), "x")
	for _, test := range []struct {
		parameters parameters
		want       string
	}{
		{nil, filepath.Join(data, "registry")},
		{parameters{"rootdirectory": nil}, filepath.Join(data, "registry")},
		{parameters{"rootdirectory": root, "maxthreads": "100"}, root},
	} {
		d, err := Open(t.Context(), "filesystem", test.parameters, data)
		if err != nil {
			t.Errorf("%v: %v", test.parameters, err)
			continue
		}
		if got := d.(*disk.Driver).Root(); got != test.want {
			t.Errorf("%v: the root is %s, not %s", test.parameters, got, test.want)
		}
	}
	if _, err := Open(t.Context(), "filesystem", nil, ""); err == nil {
		t.Error("without any folder it opens")
	}
	if _, err := Open(t.Context(), "filesystem", parameters{"rootdirectory": "/dev/null/x"}, ""); err == nil {
		t.Error("below a file it opens")
	}
}

func TestWrongParameters(t *testing.T) {
	with := func(name string, changes ...any) parameters {
		p := parameters{}
		for k, v := range valid(t)[name] {
			p[k] = v
		}
		for i := 0; i < len(changes); i += 2 {
			p[changes[i].(string)] = changes[i+1]
		}
		return p
	}
	const secret = "hunter2-and-more"
	tests := []struct {
		name       string
		parameters parameters
		wrong      []string // the parameters that are named
	}{
		{"filesystem", with("filesystem", "maxthreads", 1), []string{"maxthreads"}},
		{"filesystem", with("filesystem", "maxthreads", "many"), []string{"maxthreads"}},
		{"filesystem", with("filesystem", "maxthreads", 1e9), []string{"maxthreads"}},
		{"filesystem", with("filesystem", "rootdirectory", 7), []string{"rootdirectory"}},
		{"filesystem", with("filesystem", "rootDirectory", "/x", "threads", 5), []string{`"rootDirectory"`, `"threads"`}},
		{"inmemory", parameters{"size": 5}, []string{`"size"`}},
		{"s3", nil, []string{"bucket"}},
		{"s3", parameters{"bucket": "", "region": "eu-central-1"}, []string{"bucket"}},
		{"s3", parameters{"bucket": "b"}, []string{"region"}},
		{"s3", with("s3", "chunksize", 1000), []string{"chunksize"}},
		{"s3", with("s3", "chunksize", "10MB"), []string{"chunksize"}},
		{"s3", with("s3", "chunksize", 5.5e6+0.5), []string{"chunksize"}},
		{"s3", with("s3", "chunksize", int64(1)<<62), []string{"chunksize"}},
		{"s3", with("s3", "multipartcopymaxconcurrency", 0), []string{"multipartcopymaxconcurrency"}},
		{"s3", with("s3", "encrypt", "perhaps", "secure", 1), []string{"encrypt", "secure"}},
		{"s3", with("s3", "secretkey", nil), []string{"accesskey"}},
		{"s3", with("s3", "secretkey", []string{secret}), []string{"secretkey"}},
		{"s3", with("s3", "regionendpoint", "ftp://x"), []string{"regionendpoint"}},
		{"s3", with("s3", "regionendpoint", "http://user:"+secret+"@x"), []string{"regionendpoint"}},
		{"s3", with("s3", "regionendpoint", "http://%zz"), []string{"regionendpoint"}},
		{"s3", with("s3", "v4auth", false), []string{"v4auth"}},
		{"s3", with("s3", "sessiontoken", secret), []string{"sessiontoken"}},
		{"s3", with("s3", "loglevel", "debug"), []string{"loglevel"}},
		{"gcs", nil, []string{"bucket"}},
		{"gcs", with("gcs", "chunksize", 300_000), []string{"chunksize"}},
		{"gcs", with("gcs", "chunksize", 0), []string{"chunksize"}},
		{"gcs", with("gcs", "maxconcurrency", -1), []string{"maxconcurrency"}},
		{"gcs", with("gcs", "credentials", secret), []string{"credentials"}},
		{"gcs", with("gcs", "credentials", parameters{"type": "service_account"}), []string{"keyfile"}},
		{"azure", nil, []string{"accountname", "container"}},
		{"azure", with("azure", "accountkey", 5, "max_retries", -1, "retry_delay", "soon"), []string{"accountkey", "max_retries", "retry_delay"}},
		{"azure", with("azure", "credentials", parameters{"type": "magic"}), []string{"credentials.type"}},
		{"azure", with("azure", "credentials", parameters{"type": "client_secret", "secret": secret}), []string{"credentials.clientid", "credentials.tenantid"}},
		{"azure", with("azure", "accountkey", nil, "credentials", parameters{"type": "shared_key"}), []string{"accountkey"}},
		{"azure", with("azure", "credentials", parameters{"sekret": secret}), []string{`credentials."sekret"`}},
		{"azure", with("azure", "credentials", map[any]any{5: "x"}), []string{"credentials"}},
		{"azure", with("azure", "connectionstring", secret), []string{"connectionstring"}},
		{"azure", with("azure", "serviceurl", "x://"+secret), []string{"serviceurl"}},
	}
	for _, test := range tests {
		err := Validate(test.name, test.parameters)
		var got []string
		if joined, ok := err.(interface{ Unwrap() []error }); ok {
			for _, err := range joined.Unwrap() {
				var e *parameterError
				if !errors.As(err, &e) || e.Driver != test.name {
					t.Errorf("%s: %v is no parameterError of it", test.name, err)
					continue
				}
				got = append(got, strings.ReplaceAll(e.Parameter, "credentials.credentials", ""))
			}
		}
		slices.Sort(got)
		slices.Sort(test.wrong)
		if diff := cmp.Diff(test.wrong, got); diff != "" {
			t.Errorf("%s %v: %v\n%s", test.name, test.parameters, err, diff)
		}
		if _, openErr := Open(t.Context(), test.name, test.parameters, ""); openErr == nil || openErr.Error() != fmt.Sprint(err) {
			t.Errorf("%s: opening says %v, validating %v", test.name, openErr, err)
		}
		if strings.Contains(fmt.Sprint(err), secret) || strings.Contains(fmt.Sprint(err), "very secret") {
			t.Errorf("%s: a secret is told: %v", test.name, err)
		}
	}
	if err := Validate("swift", nil); err == nil || !strings.Contains(err.Error(), "filesystem") {
		t.Errorf("an unknown driver: %v", err)
	}
}

// What only the driver finds wrong is told without secrets as well.
func TestErrorsOfDrivers(t *testing.T) {
	const secret = "hunter2-and-more!"
	for _, test := range []struct {
		name       string
		parameters parameters
	}{
		{"azure", parameters{"accountname": "a", "container": "c", "accountkey": secret}}, // no base64
		{"gcs", parameters{"bucket": "b", "keyfile": filepath.Join(t.TempDir(), "nothing")}},
		{"gcs", parameters{"bucket": "b", "credentials": parameters{"type": "magic", "private_key": secret}}},
		{"gcs", parameters{"bucket": "b", "credentials": map[any]any{"type": "service_account", "private_key": secret, "client_email": 5}}},
		{"s3", parameters{"bucket": "b", "region": "nowhere-1", "accesskey": "AKIDEXAMPLE", "secretkey": secret}},
		{"s3", parameters{"bucket": "b", "region": "eu-central-1", "storageclass": "GLACIER", "accesskey": "AKIDEXAMPLE", "secretkey": secret}},
	} {
		_, err := Open(t.Context(), test.name, test.parameters, "")
		if err == nil {
			t.Errorf("%s %v opens", test.name, test.parameters)
			continue
		}
		if !strings.Contains(err.Error(), "opening storage "+test.name) {
			t.Errorf("%s: %v does not say what was opened", test.name, err)
		}
		if strings.Contains(err.Error(), secret) {
			t.Errorf("%s: a secret is told: %v", test.name, err)
		}
	}
}

func TestRedact(t *testing.T) {
	cause := errors.New("cannot use top-secret")
	k := kind{parameters: []parameter{{name: "key", kind: secret}, {name: "short", kind: secret}, {name: "plain"},
		{name: "in", kind: section, inside: []parameter{{name: "deep", kind: secret}}}, {name: "any", kind: section, open: true}}}
	secrets := secretsOf(k, parameters{"key": "top-secret", "short": "use", "plain": "plain", "in": map[any]any{"deep": "deep-secret"},
		"any": parameters{"type": "service_account", "private_key": "top-secret and more"}})
	if diff := cmp.Diff([]string{"top-secret and more", "deep-secret", "top-secret"}, secrets); diff != "" {
		t.Error(diff)
	}
	if got := redact(fmt.Errorf("x: %w", cause), secrets); got.Error() != "x: cannot use [redacted]" || errors.Is(got, cause) {
		t.Errorf("%v", got)
	}
	if got := redact(cause, nil); got != cause { //nolint:errorlint // the same one
		t.Errorf("%v", got)
	}
}

// A driver's panic is an error of its parameters, not the end of the process.
func TestPanic(t *testing.T) {
	kinds["panics"] = kind{open: func(map[string]any, string) (storagedriver.StorageDriver, error) {
		panic("the driver does not like its parameters")
	}}
	defer delete(kinds, "panics")
	if d, err := Open(context.Background(), "panics", nil, ""); err == nil || d != nil {
		t.Errorf("%v, %v", d, err)
	}
}

// Whatever a configuration holds, opening is an answer, and no secret is in it.
func FuzzParameters(f *testing.F) {
	for name := range kinds {
		f.Add(name, "bucket", "b", "accountkey", key)
		f.Add(name, "chunksize", "-1", "region", "eu-central-1")
		f.Add(name, "credentials", "x", "regionendpoint", "http://[::1")
		f.Add(name, "accountname", "a b\x00", "container", "../..")
	}
	f.Fuzz(func(t *testing.T, name, k1, v1, k2, v2 string) {
		if name == "filesystem" || name == "gcs" { // would make folders; would look for a cloud
			_ = Validate(name, parameters{k1: v1, k2: v2})
			return
		}
		p := parameters{"bucket": "b", "accountname": "a", "container": "c", k1: v1, k2: v2}
		if _, ok := kinds[name]; ok && name == "azure" {
			delete(p, "bucket")
		} else {
			delete(p, "accountname")
			delete(p, "container")
		}
		p["secretkey"], p["accesskey"] = "hunter2-and-more", "AKIDEXAMPLE"
		if _, err := Open(t.Context(), name, p, ""); err != nil && strings.Contains(err.Error(), "hunter2") {
			t.Errorf("a secret is told: %v", err)
		}
	})
}

func TestNumbers(t *testing.T) {
	for _, test := range []struct {
		value any
		want  int64
		ok    bool
	}{
		{5, 5, true}, {int32(5), 5, true}, {int64(-5), -5, true}, {uint(5), 5, true}, {uint32(5), 5, true}, {uint64(5), 5, true},
		{5.0, 5, true}, {"5", 5, true}, {"-5", -5, true}, {5.5, 0, false}, {"5x", 0, false}, {"", 0, false}, {"0x5", 0, false},
		{uint64(1) << 63, 0, false}, {1e300, 0, false}, {true, 0, false}, {nil, 0, false},
	} {
		if got, ok := asNumber(test.value); ok != test.ok || ok && got != test.want {
			t.Errorf("%v (%T): %d, %t", test.value, test.value, got, ok)
		}
	}
}
