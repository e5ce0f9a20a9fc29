package upstream

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/google/go-cmp/cmp"

	"weir.dev/weir/internal/pullsecrets"
)

// A registry that moves from http to https under the same name is found again
// without waiting for what is remembered to run out.
func TestRegistryMovesToTLS(t *testing.T) {
	h := v2(func(w http.ResponseWriter, r *http.Request) { w.Write(manifestOf("x")) })
	plain := httptest.NewServer(h)
	host := strings.TrimPrefix(plain.URL, "http://")
	c := newTestClient(t)
	r := open(t, c, host+"/a/b")
	if _, err := r.Manifest(t.Context(), "x"); err != nil {
		t.Fatal(err)
	}
	plain.Close()
	_, err := r.Manifest(t.Context(), "x")
	wantCode(t, err, CodeUnavailable)

	listener, err := net.Listen("tcp", host)
	if err != nil {
		t.Fatal(err)
	}
	secure := httptest.NewUnstartedServer(h)
	secure.Listener.Close()
	secure.Listener = listener
	secure.StartTLS()
	defer secure.Close()
	if _, err := r.Manifest(t.Context(), "x"); err != nil {
		t.Error(err)
	}
}

// What a 401 taught is forgotten after a while, as what a ping taught is.
func TestLoginIsRemembered(t *testing.T) {
	var pings, refusals atomic.Int32
	h, _ := realRegistry(t)
	s := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v2/" {
			pings.Add(1) // and no word of a login
			return
		}
		if u, p, _ := r.BasicAuth(); u != "u" || p != "p" {
			refusals.Add(1)
			w.Header().Set("WWW-Authenticate", "Basic")
			w.WriteHeader(401)
			return
		}
		h.ServeHTTP(w, r)
	}))
	c := newTestClient(t, func(o *Options) { o.bounds.session = time.Hour })
	r := open(t, c, s.host+"/team/app", pullsecrets.Credential{Username: "u", Password: "p"})
	for range 3 {
		if _, err := r.Head(t.Context(), "latest"); err != nil {
			t.Fatal(err)
		}
	}
	if pings.Load() != 1 || refusals.Load() != 1 {
		t.Errorf("%d pings, %d refusals", pings.Load(), refusals.Load())
	}
	c = newTestClient(t, func(o *Options) { o.bounds.session = time.Nanosecond })
	r = open(t, c, s.host+"/team/app", pullsecrets.Credential{Username: "u", Password: "p"})
	for range 3 {
		if _, err := r.Head(t.Context(), "latest"); err != nil {
			t.Fatal(err)
		}
	}
	if pings.Load() != 4 || refusals.Load() != 4 {
		t.Errorf("after expiry: %d pings, %d refusals", pings.Load(), refusals.Load())
	}
}

// Sixty callers at once cost one ping, one token and one manifest.
func TestIdenticalWorkIsDoneOnce(t *testing.T) {
	h, _ := realRegistry(t)
	release := make(chan struct{})
	s := serve(t, bearerAuth(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		<-release
		h.ServeHTTP(w, r)
	}), "u", "p", time.Hour))
	c := newTestClient(t)
	var work sync.WaitGroup
	for range 60 {
		work.Go(func() {
			r := open(t, c, s.host+"/team/app", pullsecrets.Credential{Username: "u", Password: "p"})
			if _, err := r.Manifest(t.Context(), "latest"); err != nil {
				t.Error(err)
			}
		})
	}
	eventually(t, "sixty callers wait", func() bool { return c.getFlights.waiting() == 60 })
	close(release)
	work.Wait()
	if got := fmt.Sprint(s.lines()); got != "[GET /v2/ GET /token GET /v2/team/app/manifests/latest]" {
		t.Error(got)
	}
}

func TestPanicIsAFailureOfOneCall(t *testing.T) {
	c := newTestClient(t)
	var f flights[int]
	_, err := f.do(t.Context(), c, "k", time.Second, func(context.Context) (int, error) { panic("boom") })
	e := wantCode(t, err, CodeProtocol)
	if strings.Contains(e.Text, "boom") || !strings.Contains(e.Err.Error(), "boom") {
		t.Errorf("%+v", e)
	}
	if v, err := f.do(t.Context(), c, "k", time.Second, func(context.Context) (int, error) { return 7, nil }); v != 7 || err != nil {
		t.Error(v, err)
	}
}

func TestRulesAreSwappedLive(t *testing.T) {
	h, _ := realRegistry(t)
	s := serve(t, h)
	c := newTestClient(t)
	old := open(t, c, s.host+"/team/app")
	rules := rulesOf(t, "[[registry]]\nlocation = \""+s.host+"\"\nblocked = true\n")
	c.SetRules(rules)
	if _, err := c.Repository(parse(t, s.host+"/team/app"), true, nil); CodeOf(err) != CodeBlocked {
		t.Errorf("got %v", err)
	}
	if _, err := old.Manifest(t.Context(), "latest"); err != nil {
		t.Errorf("a repository opened before: %v", err)
	}
	if c.Rules() != rules {
		t.Error("other rules are in force")
	}
	c.SetRules(nil)
	if _, err := open(t, c, s.host+"/team/app").Manifest(t.Context(), "latest"); err != nil {
		t.Error(err)
	}
}

func TestOptionsValidate(t *testing.T) {
	o, path := DefaultOptions(), field.NewPath("imports")
	if errs := append(o.Validate(path), o.Limits.Validate(path.Child("limits"))...); len(errs) > 0 {
		t.Errorf("the defaults are refused: %v", errs)
	}
	o.Hosts.Retries, o.Timeouts.Dial.Duration, o.Addresses.Allow, o.Limits.ManifestSize = -1, 0, []string{"here"}, 0
	var paths []string
	for _, err := range append(o.Validate(path), o.Limits.Validate(path.Child("limits"))...) {
		paths = append(paths, err.Field)
	}
	want := []string{"imports.hosts.retries", "imports.addresses.allow[0]", "imports.timeouts.dial", "imports.limits.manifestSize"}
	if diff := cmp.Diff(want, paths); diff != "" {
		t.Errorf("mistakes (-want +got):\n%s", diff)
	}
	if _, err := NewClient(o); err == nil {
		t.Error("a client was made with an address that cannot be read")
	}
}

func TestObserverSeesEveryExchange(t *testing.T) {
	h, _ := realRegistry(t)
	s := serve(t, h)
	var mu sync.Mutex
	var got []string
	c := newTestClient(t, func(o *Options) {
		o.Observer = func(ob Observation) {
			mu.Lock()
			defer mu.Unlock()
			if ob.Host != s.host || ob.Duration <= 0 {
				t.Errorf("observation %+v", ob)
			}
			got = append(got, string(ob.Kind)+" "+ob.Outcome)
		}
	})
	r := open(t, c, s.host+"/team/app")
	r.Head(t.Context(), "latest")
	r.Manifest(t.Context(), "gone")
	r.Tags(t.Context())
	want := []string{"ping Fallback", "ping Success", "head Success", "manifest ManifestUnknown", "tags Success"}
	mu.Lock()
	defer mu.Unlock()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
