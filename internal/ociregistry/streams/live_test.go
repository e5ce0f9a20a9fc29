package streams

import (
	"context"
	"errors"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	imagev1 "github.com/openshift/api/image/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apiserver/pkg/authentication/user"

	"weir.dev/weir/internal/auth"
	"weir.dev/weir/internal/imageapi"
	"weir.dev/weir/internal/ociregistry"
)

// store is the API's: one stream, or none, and a count of who asked.
type store struct {
	stream atomic.Pointer[imagev1.ImageStream]
	broken atomic.Pointer[error]
	asked  atomic.Int32
}

func (s *store) get(context.Context, types.NamespacedName) (*imagev1.ImageStream, error) {
	s.asked.Add(1)
	if err := s.broken.Load(); err != nil {
		return nil, *err
	}
	if stream := s.stream.Load(); stream != nil {
		return stream.DeepCopy(), nil
	}
	return nil, apierrors.NewNotFound(streamsResource, app.Name)
}

func TestLiveReads(t *testing.T) {
	c, s := newClock(), &store{}
	k := newKnown(c.Now)
	_ = k.Replace(nil, "1")
	l := newLiveReads(s.get, k, nil, c.Now)
	want := func(version string, asked int32) {
		t.Helper()
		v, err := l.fresh(t.Context(), app)
		fatal(t, err)
		got := ""
		if v != nil {
			got = v.stream.ResourceVersion
		}
		if n := s.asked.Swap(0); got != version || n != asked {
			t.Errorf("version %q after %d requests, want %q after %d", got, n, version, asked)
		}
	}
	want("", 1)
	want("", 0) // that was a moment ago
	s.stream.Store(numberedStream(5))
	want("", 0)
	c.pass(freshFor)
	want("5", 1)
	want("5", 0)
	_ = k.Update(numberedStream(6)) // the watch is never behind its own news
	want("6", 0)
	c.pass(freshFor)
	want("6", 1) // the API cannot have gone back

	s.stream.Store(numberedStream(9))
	l.invalidate(app)
	if _, sure := k.get(app); sure {
		t.Error("trusts what is distrusted")
	}
	want("9", 1)

	s.stream.Store(nil)
	c.pass(freshFor)
	want("", 1)

	broken := errors.New("broken")
	s.broken.Store(&broken)
	c.pass(freshFor)
	for range 2 { // an error is not remembered
		if _, err := l.fresh(t.Context(), app); !errors.Is(err, broken) {
			t.Errorf("got %v", err)
		}
	}
	if n := s.asked.Load(); n != 2 {
		t.Errorf("%d requests, want 2", n)
	}
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	release := make(chan struct{})
	slow := newLiveReads(func(context.Context, types.NamespacedName) (*imagev1.ImageStream, error) {
		<-release
		return nil, broken
	}, k, nil, c.Now)
	if _, err := slow.fresh(canceled, app); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	close(release)
}

// TestOwnWritesAreReadBack: whoever wrote and refreshed sees at least that, whatever
// slower readers bring.
func TestOwnWritesAreReadBack(t *testing.T) {
	s := &store{}
	k := newKnown(time.Now)
	_ = k.Replace(nil, "1")
	l := newLiveReads(s.get, k, nil, time.Now)
	var versions, watch sync.Mutex
	next := 1
	write := func() int {
		versions.Lock()
		defer versions.Unlock()
		next++
		s.stream.Store(numberedStream(next))
		return next
	}
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			for range 200 {
				mine := write()
				if err := l.now(t.Context(), app); err != nil {
					t.Error(err)
					return
				}
				v, sure := k.get(app)
				if seen, _ := strconv.Atoi(v.stream.ResourceVersion); !sure || seen < mine {
					t.Errorf("wrote version %d, reads %d", mine, seen)
				}
			}
		})
		group.Go(func() {
			for range 200 {
				_, _ = l.fresh(t.Context(), app)
				watch.Lock() // a watch tells of versions one after the other
				if stream := s.stream.Load(); stream != nil {
					_ = k.Update(stream.DeepCopy())
				}
				watch.Unlock()
			}
		})
	}
	group.Wait()
}

func TestTurns(t *testing.T) {
	all := newStreamLocks()
	inside, worst := 0, 0
	var group sync.WaitGroup
	for range 50 {
		group.Go(func() {
			done, err := all.lock(t.Context(), app)
			if err != nil {
				t.Error(err)
				return
			}
			inside++ // the race detector watches
			worst = max(worst, inside)
			inside--
			done()
		})
	}
	group.Wait()
	if worst != 1 {
		t.Errorf("%d at a time", worst)
	}
	done, err := all.lock(t.Context(), app)
	fatal(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if _, err := all.lock(ctx, app); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	other, err := all.lock(t.Context(), types.NamespacedName{Name: "other"})
	fatal(t, err)
	other()
	done()
	if len(all.streams) != 0 {
		t.Errorf("%d turns are kept for nobody", len(all.streams))
	}
}

// rights answers reviews: what is in it, as "user verb[/subresource] namespace/stream".
type rights struct {
	mu      sync.Mutex
	granted map[string]bool
	asked   []string
	broken  error
	// unsure has rules say nothing.
	unsure bool
}

// rules are those that the grants make in a namespace.
func (r *rights) rules(_ context.Context, u user.Info, namespace string) (sight, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.asked = append(r.asked, u.GetName()+" rules "+namespace+"/")
	if r.unsure || r.broken != nil {
		return sight{unsure: true}, r.broken
	}
	var rules authorizationv1.SubjectRulesReviewStatus
	for grant, is := range r.granted {
		words := strings.Fields(grant)
		in, name, _ := strings.Cut(words[2], "/")
		if !is || words[0] != u.GetName() || in != namespace && in != "" {
			continue
		}
		verb, subresource, _ := strings.Cut(words[1], "/")
		rule := authorizationv1.ResourceRule{APIGroups: []string{"image.openshift.io"}, Verbs: []string{verb}, Resources: []string{"imagestreams"}}
		if subresource != "" {
			rule.Resources[0] += "/" + subresource
		}
		if name != "" {
			rule.ResourceNames = []string{name}
		}
		rules.ResourceRules = append(rules.ResourceRules, rule)
	}
	return sightBy(rules), nil
}

func (r *rights) review(_ context.Context, spec authorizationv1.SubjectAccessReviewSpec) (bool, error) {
	a := spec.ResourceAttributes
	text := spec.User + " " + a.Verb
	if a.Subresource != "" {
		text += "/" + a.Subresource
	}
	if a.Group != "image.openshift.io" || a.Resource != "imagestreams" {
		text += " of something else"
	}
	text += " " + a.Namespace + "/" + a.Name
	r.mu.Lock()
	defer r.mu.Unlock()
	r.asked = append(r.asked, text)
	return r.granted[text], r.broken
}

// requests are the questions since the last call, sorted.
func (r *rights) requests() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	asked := r.asked
	r.asked = nil
	slices.Sort(asked)
	return asked
}

// catalog is a directory of streams "namespace/name", or "namespace/name=path" for those
// that were pushed under another name, over rights.
func catalog(names []string, granted ...string) (*Directory, *rights, *clock) {
	c, r := newClock(), &rights{granted: map[string]bool{}}
	for _, g := range granted {
		r.granted[g] = true
	}
	d := &Directory{known: newKnown(c.Now), reviews: newReviews(r, nil, c.Now), skips: newSkips(nil, c.Now)}
	d.listing = newListing(d.known)
	var list []any
	for _, name := range names {
		list = append(list, streamCalled(name))
	}
	_ = d.known.Replace(list, "1")
	return d, r, c
}

func streamCalled(name string) *imagev1.ImageStream {
	name, path, _ := strings.Cut(name, "=")
	s := imageStream()
	s.Namespace, s.Name, _ = strings.Cut(name, "/")
	if path != "" {
		s.Annotations = map[string]string{imageapi.AnnotationRepository: path}
	}
	return s
}

func TestRepositories(t *testing.T) {
	streams := []string{"b/two", "a/one", "a-b/x", "a/n.x2f.m=n/m", "b/one", "c/secret"}
	all := []string{"a-b/x", "a/n/m", "a/one", "b/one", "b/two", "c/secret"}
	for name, test := range map[string]struct {
		granted []string
		want    []string
	}{
		"nothing":                 {nil, []string{}},
		"lists everything":        {[]string{"u list /"}, all},
		"pulls everything":        {[]string{"u get/layers /"}, all},
		"lists a namespace":       {[]string{"u list a/"}, []string{"a/n/m", "a/one"}},
		"pulls from a namespace":  {[]string{"u get/layers b/"}, []string{"b/one", "b/two"}},
		"pulls from some streams": {[]string{"u get/layers b/two", "u get/layers a/n.x2f.m"}, []string{"a/n/m", "b/two"}},
		"somebody else":           {[]string{"other list /"}, []string{}},
	} {
		t.Run(name, func(t *testing.T) {
			for _, unsure := range []bool{false, true} {
				d, r, _ := catalog(streams, test.granted...)
				r.unsure = unsure
				got, more, err := d.Repositories(t.Context(), &user.DefaultInfo{Name: "u"}, "", 100)
				if err != nil || more || !slices.Equal(got, test.want) || got == nil {
					t.Errorf("rules unsure %t: %q, more %v, %v; want %q", unsure, got, more, err, test.want)
				}
			}
		})
	}
}

// TestReviewsFollowNamespaces holds that a listing asks once for a namespace, not for each stream,
// and remembers for longer where nothing is seen.
func TestReviewsFollowNamespaces(t *testing.T) {
	var names []string
	for i := range 5 {
		names = append(names, numbered("n"+strconv.Itoa(i)+"/s", 300)...)
	}
	d, r, c := catalog(names, "u get/layers n3/s7")
	list := func(want int) {
		t.Helper()
		got, _, err := d.Repositories(t.Context(), &user.DefaultInfo{Name: "u"}, "", 1000)
		if err != nil || !slices.Equal(got, []string{"n3/s7"}) {
			t.Errorf("%q, %v", got, err)
		}
		if asked := r.requests(); len(asked) != want {
			t.Errorf("asked %d times, want %d: %q", len(asked), want, asked)
		}
	}
	list(2 + 5)
	list(0)
	c.pass(reviewFor)
	list(2 + 1)
	c.pass(nothingFor)
	list(2 + 5)
}

// TestReviewsOfARequestAreBounded holds that a listing ends where it would cost too many, that the
// next one goes on from there, and that nothing is left out.
func TestReviewsOfARequestAreBounded(t *testing.T) {
	for name, test := range map[string]struct {
		granted []string
		want    []string
	}{
		"nothing is seen":       {nil, nil},
		"one at the end":        {[]string{"u list n999/"}, []string{"n999/app"}},
		"one at the beginning":  {[]string{"u list n0/"}, []string{"n0/app"}},
		"one at each end":       {[]string{"u list n0/", "u list n999/"}, []string{"n0/app", "n999/app"}},
		"one in the middle too": {[]string{"u list n0/", "u list n50/", "u list n999/"}, []string{"n0/app", "n50/app", "n999/app"}},
	} {
		t.Run(name, func(t *testing.T) {
			var names []string
			for i := range 2500 {
				names = append(names, "n"+strconv.Itoa(i)+"/app")
			}
			d, r, _ := catalog(names, test.granted...)
			var got []string
			last := ""
			for more, requests := true, 0; more && requests < 10; requests++ {
				var page []string
				var err error
				page, more, err = d.Repositories(t.Context(), &user.DefaultInfo{Name: "u"}, last, 100)
				// Those that the end of the last request left under way are among them.
				if n := len(r.requests()); n > maxRequestReviews+maxConcurrentReviews {
					t.Fatalf("one request asked %d times", n)
				}
				if refusal := (*ociregistry.Error)(nil); errors.As(err, &refusal) {
					if refusal.Code != ociregistry.CodeTooManyRequests || refusal.RetryAfter == 0 || len(page) > 0 {
						t.Fatalf("%v with %q", err, page)
					}
					more = true
					continue
				}
				fatal(t, err)
				if got = append(got, page...); more {
					last = page[len(page)-1]
				}
			}
			if !slices.Equal(got, test.want) {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

// TestManyStreamsOfUnsureRules holds that a user whose rules do not say everything gets to the end of
// any number of streams, however long each request takes, and that a right shows after a while.
func TestManyStreamsOfUnsureRules(t *testing.T) {
	var names []string
	for i := range 50 {
		names = append(names, numbered("n"+strconv.Itoa(i)+"/s", 200)...)
	}
	slices.Sort(names)
	u := &user.DefaultInfo{Name: "u"}
	for name, granted := range map[string][]string{
		"one at the end":       {names[len(names)-1]},
		"one at the beginning": {names[0]},
		"two":                  {names[10], names[7000]},
		"none":                 nil,
	} {
		t.Run(name, func(t *testing.T) {
			d, r, c := catalog(names)
			r.unsure = true
			for _, g := range granted {
				r.granted["u get/layers "+g] = true
			}
			list := func() (got []string) {
				last := ""
				for requests := range 20 {
					page, more, err := d.Repositories(t.Context(), u, last, 100)
					if n := len(r.requests()); n > maxRequestReviews+maxConcurrentReviews {
						t.Fatalf("one request asked %d times", n)
					}
					if got = append(got, page...); len(page) > 0 {
						last = page[len(page)-1]
					}
					if err == nil && !more {
						return got
					}
					if refusal := (*ociregistry.Error)(nil); err != nil && !errors.As(err, &refusal) {
						t.Fatal(err)
					}
					c.pass(reviewFor) // nothing of the reviews counts any more
					if requests == 19 {
						t.Fatal("there is no end")
					}
				}
				return got
			}
			if got := list(); !slices.Equal(got, granted) {
				t.Errorf("got %q, want %q", got, granted)
			}
			c.pass(nothingFor)
			r.granted["u get/layers "+names[5000]] = true
			want := append(slices.Clone(granted), names[5000])
			slices.Sort(want)
			if got := list(); !slices.Equal(got, want) {
				t.Errorf("got %q, want %q", got, want)
			}
		})
	}
}

// TestSight holds what rules say of the streams of a namespace.
func TestSight(t *testing.T) {
	rule := func(group, verb, resource string, names ...string) authorizationv1.ResourceRule {
		return authorizationv1.ResourceRule{APIGroups: []string{group}, Verbs: []string{verb}, Resources: []string{resource}, ResourceNames: names}
	}
	const group = "image.openshift.io"
	for name, test := range map[string]struct {
		rules      []authorizationv1.ResourceRule
		incomplete bool
		want       sight
	}{
		"no rules":              {nil, false, sight{}},
		"lists":                 {[]authorizationv1.ResourceRule{rule(group, "list", "imagestreams")}, true, sight{all: true}},
		"everything":            {[]authorizationv1.ResourceRule{rule("*", "*", "*")}, false, sight{all: true}},
		"pulls":                 {[]authorizationv1.ResourceRule{rule(group, "get", "imagestreams/layers")}, false, sight{all: true}},
		"layers of anything":    {[]authorizationv1.ResourceRule{rule(group, "get", "*/layers")}, false, sight{all: true}},
		"pulls some":            {[]authorizationv1.ResourceRule{rule(group, "get", "imagestreams/layers", "b"), rule(group, "*", "*", "a")}, false, sight{names: []string{"a", "b"}}},
		"lists by name":         {[]authorizationv1.ResourceRule{rule(group, "list", "imagestreams", "a")}, false, sight{}},
		"reads streams":         {[]authorizationv1.ResourceRule{rule(group, "get", "imagestreams")}, false, sight{}},
		"pushes":                {[]authorizationv1.ResourceRule{rule(group, "update", "imagestreams/layers")}, false, sight{}},
		"another group":         {[]authorizationv1.ResourceRule{rule("", "list", "imagestreams")}, false, sight{}},
		"incomplete":            {[]authorizationv1.ResourceRule{rule(group, "get", "imagestreams/layers", "b")}, true, sight{names: []string{"b"}, unsure: true}},
		"more than are counted": {[]authorizationv1.ResourceRule{rule(group, "get", "imagestreams/layers", numbered("s", maxSightNames+1)...)}, false, sight{unsure: true}},
	} {
		t.Run(name, func(t *testing.T) {
			got := sightBy(authorizationv1.SubjectRulesReviewStatus{ResourceRules: test.rules, Incomplete: test.incomplete})
			if !reflect.DeepEqual(got, test.want) {
				t.Errorf("%+v, want %+v", got, test.want)
			}
		})
	}
}

func TestRepositoriesByPages(t *testing.T) {
	names := numbered("a/s", 200)
	d, _, _ := catalog(append(names, numbered("hidden/s", 200)...), "u get/layers a/")
	slices.Sort(names)
	u := &user.DefaultInfo{Name: "u"}
	for _, size := range []int{1, 7, 64, 199, 200, 201, 1000} {
		var got []string
		last := ""
		for pages := 0; pages <= 201; pages++ {
			page, more, err := d.Repositories(t.Context(), u, last, size)
			if err != nil || len(page) > size {
				t.Fatalf("page of %d, %v", len(page), err)
			}
			got = append(got, page...)
			if more != (len(got) < len(names)) {
				t.Fatalf("more is %v after %d", more, len(got))
			}
			if !more {
				break
			}
			last = page[len(page)-1]
		}
		if !slices.Equal(got, names) {
			t.Errorf("pages of %d: %d repositories, want %d", size, len(got), len(names))
		}
	}
	for _, test := range []struct {
		last  string
		n     int
		first string
		more  bool
	}{{"a/s100x", 1, "a/s101", true}, {"a/s99", 1, "", false}, {"z", 5, "", false}, {"", 0, "", true}, {"a/s99", 0, "", false}} {
		page, more, err := d.Repositories(t.Context(), u, test.last, test.n)
		if first := strings.Join(page, ","); err != nil || first != test.first || more != test.more {
			t.Errorf("after %q: %q, %v, %v", test.last, first, more, err)
		}
	}
}

func TestRepositoriesFollowTheStreams(t *testing.T) {
	d, r, c := catalog([]string{"a/one"}, "u list /")
	u := &user.DefaultInfo{Name: "u"}
	want := func(names ...string) {
		t.Helper()
		if got, _, err := d.Repositories(t.Context(), u, "", 10); err != nil || !slices.Equal(got, names) {
			t.Errorf("%q, %v; want %q", got, err, names)
		}
	}
	want("a/one")
	_ = d.known.Update(streamCalled("a/two"))
	want("a/one", "a/two")
	renamed := streamCalled("a/n.x2f.m")
	_ = d.known.Update(renamed)
	want("a/n.x2f.m", "a/one", "a/two")
	renamed = streamCalled("a/n.x2f.m=n/m")
	renamed.ResourceVersion = "2"
	_ = d.known.Update(renamed)
	want("a/n/m", "a/one", "a/two")
	_ = d.known.Delete(streamCalled("a/two"))
	want("a/n/m", "a/one")

	if n := len(r.requests()); n != 1 {
		t.Errorf("asked %d times for one right in a moment", n)
	}
	r.granted["u list /"] = false
	c.pass(reviewFor)
	want()
	r.broken = errors.New("broken")
	c.pass(reviewFor)
	if _, _, err := d.Repositories(t.Context(), u, "", 10); !errors.Is(err, r.broken) {
		t.Errorf("got %v", err)
	}
}

func TestReviewsAreOfTheWholeUser(t *testing.T) {
	seen := map[string]bool{}
	for _, u := range []*user.DefaultInfo{
		{Name: "u"}, {Name: "u", UID: "1"}, {Name: "u", Groups: []string{"g"}}, {Name: "u", Groups: []string{"g", "h"}}, {Name: "u", Groups: []string{"g,h"}},
		{Name: "u", Extra: map[string][]string{"k": {"v"}}}, {Name: "u", Extra: map[string][]string{"k": {"w"}}}, {Name: `u","`},
	} {
		seen[auth.IdentityOf(u)] = true
	}
	if len(seen) != 8 {
		t.Errorf("%d identities of 8 users", len(seen))
	}
	spec := question{verb: "get", subresource: "layers", namespace: "a", stream: "b"}.spec(&user.DefaultInfo{Name: "u", UID: "1", Groups: []string{"g"}, Extra: map[string][]string{"k": {"v"}}})
	if spec.User != "u" || spec.UID != "1" || spec.Groups[0] != "g" || spec.Extra["k"][0] != "v" || spec.ResourceAttributes.Name != "b" {
		t.Errorf("asks for %+v", spec)
	}
}
