package standalone

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Storage that cannot be used is reported at the start, with its name: a wrong bucket, a wrong
// key, and an endpoint where nothing listens.
func TestWrongStorageDoesNotStart(t *testing.T) {
	away := httptest.NewServer(nil)
	away.Close()
	for name, test := range map[string]struct {
		endpoint, want string
	}{
		"bucket":   {refusingS3(t, http.StatusNotFound, "NoSuchBucket"), "NoSuchBucket"},
		"key":      {refusingS3(t, http.StatusForbidden, "InvalidAccessKeyId"), "InvalidAccessKeyId"},
		"endpoint": {away.URL, "connection refused"},
	} {
		t.Run(name, func(t *testing.T) {
			o := NewOptions()
			o.DataDir = t.TempDir()
			o.ConfigFile = filepath.Join(o.DataDir, "weir.yaml")
			text := fmt.Sprintf("apiVersion: config.weir.dev/v1alpha1\nkind: WeirConfiguration\nregistry: {storage: {driver: s3, parameters: "+
				"{bucket: nowhere, regionendpoint: '%s', forcepathstyle: true, secure: false, accesskey: AKID, secretkey: a-secret-key}}}\n", test.endpoint)
			if err := os.WriteFile(o.ConfigFile, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			o.Registry.Port = 0
			o.Host.ControlPlane.SecureServing.BindPort = 0
			s, err := New(t.Context(), o)
			if err == nil {
				s.Close()
				t.Fatal("it starts")
			}
			for _, want := range []string{"storage s3", `bucket "nowhere" at ` + test.endpoint, test.want} {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%v\nlacks %q", err, want)
				}
			}
			if strings.Contains(err.Error(), "\n") || strings.Contains(err.Error(), "a-secret-key") {
				t.Errorf("several lines, or a secret: %v", err)
			}
		})
	}
}

// refusingS3 is an S3 server that answers one error to everything.
func refusingS3(t *testing.T, status int, code string) (url string) {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		fmt.Fprintf(w, "<Error><Code>%s</Code><Message>no</Message></Error>", code)
	}))
	t.Cleanup(server.Close)
	return server.URL
}
