package upstream

import (
	"net/http"
	"slices"
	"testing"

	"weir.dev/weir/internal/pullsecrets"
)

func TestSkippedSourcesAreReported(t *testing.T) {
	h, _ := realRegistry(t)
	source, broken, without := serve(t, h), serve(t, v2(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(502) })), serve(t, v2(http.NotFound))
	c := newTestClient(t, func(o *Options) { o.Hosts.Retries = 0 })
	rules := rulesOf(t, `
[[registry]]
location = "`+source.host+`"
insecure = true
[[registry.mirror]]
location = "`+without.host+`/m"
insecure = true
[[registry.mirror]]
location = "`+broken.host+`/m"
insecure = true
`)
	c.SetRules(rules)
	var skipped []string
	ctx := WithSkipped(t.Context(), func(f SourceFailure) { skipped = append(skipped, f.At.Repository()+" "+string(f.Err.Code)) })
	if _, err := open(t, c, source.host+"/team/app").Manifest(ctx, "latest"); err != nil {
		t.Fatal(err)
	}
	if want := []string{broken.host + "/m/team/app Unavailable"}; !slices.Equal(skipped, want) {
		t.Errorf("reported %v, want %v", skipped, want)
	}
}

func TestRefusedCredentialIsNamed(t *testing.T) {
	for status, second := range map[int]int{401: 401, 403: 404} {
		s := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("WWW-Authenticate", `Basic realm="x"`)
			switch _, _, ok := r.BasicAuth(); {
			case r.URL.Path == "/v2/":
				w.WriteHeader(401)
			case ok:
				w.WriteHeader(status)
			default:
				w.WriteHeader(second)
			}
		}))
		_, err := open(t, newTestClient(t), s.host+"/a/b", pullsecrets.Credential{Username: "u", Password: "wr0ng-passw0rd", Origin: "secret a/pull"}).Manifest(t.Context(), "x")
		if e := asError(err); e.Refused != "the credentials of secret a/pull" {
			t.Errorf("%d then %d: %+v", status, second, e)
		}
		_, err = open(t, newTestClient(t), s.host+"/a/b").Manifest(t.Context(), "x")
		if e := asError(err); e.Refused != "" {
			t.Errorf("without a credential: %+v", e)
		}
	}
}
