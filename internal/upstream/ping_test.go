package upstream

import (
	"net/http"
	"testing"
)

func TestNotARegistry(t *testing.T) {
	for status, code := range map[int]Code{404: CodeProtocol, 500: CodeUnavailable, 429: CodeTooManyRequests} {
		s := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Retry-After", "60")
			w.WriteHeader(status)
		}))
		_, err := open(t, newTestClient(t), s.host+"/a/b").Manifest(t.Context(), "x")
		if e := wantCode(t, err, code); e.HTTPStatus != status {
			t.Errorf("%+v", e)
		}
	}
	// A 404 from a registry that says it is one counts; so does a 403.
	for _, status := range []int{404, 403} {
		s := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/v2/" {
				w.Write(manifestOf("x"))
				return
			}
			if status == 404 {
				w.Header().Set("Docker-Distribution-API-Version", "registry/2.0")
			}
			w.WriteHeader(status)
		}))
		if _, err := open(t, newTestClient(t), s.host+"/a/b").Manifest(t.Context(), "x"); err != nil {
			t.Errorf("%d: %v", status, err)
		}
	}
}
