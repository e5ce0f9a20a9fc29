package stream

import (
	"testing"
	"time"

	imagev1 "github.com/openshift/api/image/v1"
)

func TestSetRepositories(t *testing.T) {
	for _, test := range []struct {
		hosts            Registries
		backing          string
		internal, public string
	}{
		{Registries{}, "", "", ""},
		{Registries{}, "q.io/x", "q.io/x", ""},
		{Registries{Internal: "reg:5000"}, "q.io/x", "reg:5000/p/s", ""},
		{Registries{Internal: "reg:5000", Public: "reg.example"}, "", "reg:5000/p/s", "reg.example/p/s"},
		{Registries{Public: "reg.example"}, "q.io/x", "q.io/x", "reg.example/p/s"},
	} {
		s := streamOf()
		s.Spec.DockerImageRepository = test.backing
		s.Status.DockerImageRepository, s.Status.PublicDockerImageRepository = "stale", "stale"
		SetRepositories(s, test.hosts)
		if s.Status.DockerImageRepository != test.internal || s.Status.PublicDockerImageRepository != test.public {
			t.Errorf("%+v over %q: %+v", test.hosts, test.backing, s.Status)
		}
	}
}

func TestRegistriesHadAt(t *testing.T) {
	until := at(10).Time
	hosts := Registries{
		Internal: "reg:5000", Public: "reg.example", Former: []string{"before:5000", "both:5000"},
		Remembered: map[string]time.Time{"remembered:5000": until, "both:5000": until},
	}
	for _, test := range []struct {
		host          string
		before, after bool
	}{
		{"reg:5000", true, true},
		{"reg.example", true, true},
		{"before:5000", true, true},
		{"both:5000", true, true},
		{"remembered:5000", true, false},
		{"q.io", false, false},
		{"", false, false},
	} {
		for what, got := range map[string]bool{
			"long before": hosts.HadAt(test.host, at(1).Time), "at the end": hosts.HadAt(test.host, until),
		} {
			if got != test.before {
				t.Errorf("%q was a name %s: %v", test.host, what, got)
			}
		}
		if got := hosts.HadAt(test.host, until.Add(1)); got != test.after {
			t.Errorf("%q is a name since: %v", test.host, got)
		}
		if got := hosts.Has(test.host); got != test.before {
			t.Errorf("%q was ever a name: %v", test.host, got)
		}
		if got := hosts.HasInternal(test.host); got != (test.before && test.host != "reg.example") {
			t.Errorf("%q was ever the internal name: %v", test.host, got)
		}
	}
	equal(t, "current names", Registries{Internal: "reg:5000", Public: "reg.example"}, hosts.Current())
}

func TestTrimRepositories(t *testing.T) {
	for in, want := range map[string]string{
		"":                               "",
		"q.io/x":                         "q.io/x",
		"q.io/org/x:1":                   "q.io/org/x",
		"q.io/org/x@" + image("a"):       "q.io/org/x",
		"reg:5000/org/x:1@" + image("a"): "reg:5000/org/x",
		"reg:5000/p/s":                   "reg:5000/p/s",
		"not a:repository":               "not a:repository",
	} {
		s := streamOf()
		s.Spec.DockerImageRepository, s.Status.DockerImageRepository = in, in
		TrimRepositories(s)
		if s.Spec.DockerImageRepository != want || s.Status.DockerImageRepository != want {
			t.Errorf("%q becomes %q and %q, want %q", in, s.Spec.DockerImageRepository, s.Status.DockerImageRepository, want)
		}
	}
}

func TestResolveReference(t *testing.T) {
	local := func(tag *imagev1.TagReference) { tag.ReferencePolicy.Type = imagev1.LocalTagReferencePolicy }
	s := withStatus(streamOf(
		docker("source", "q.io/x:1"), docker("local", "q.io/x:1", local), docker("reference", "q.io/x:1", local, asReference), docker("pending", "q.io/x:1", local),
	),
		history("source", event("q.io/x@1", "1", 1, at(2)), event("q.io/x@0", "0", 1, at(1))),
		history("local", event("q.io/x@1", "1", 1, at(1))),
		history("reference", event("q.io/x:1", "", 1, at(1))),
		history("pushed", event("reg/p/s@1", "1", 1, at(1))),
	)
	for repository, wants := range map[string]map[string]string{
		"reg/p/s": {"source": "q.io/x@1", "local": "reg/p/s@1", "reference": "q.io/x:1", "pushed": "reg/p/s@1"},
		"":        {"source": "q.io/x@1", "local": "q.io/x@1", "reference": "q.io/x:1", "pushed": "reg/p/s@1"},
	} {
		s.Status.DockerImageRepository = repository
		for tag, want := range wants {
			if got, ok := resolveReference(s, tag); !ok || got != want {
				t.Errorf("in %q, %s is pulled from %q, %t; want %q", repository, tag, got, ok, want)
			}
		}
		for _, tag := range []string{"pending", "missing"} {
			if got, ok := resolveReference(s, tag); ok {
				t.Errorf("%s is pulled from %q", tag, got)
			}
		}
	}
}
