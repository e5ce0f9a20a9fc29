package registryclients_test

import (
	"testing"
)

// chart is a chart of one template.
func (h *home) chart(name, version string) {
	h.t.Helper()
	h.write(name+"/Chart.yaml", "apiVersion: v2\nname: "+name+"\nversion: "+version+"\ndescription: a chart of one config map\n")
	h.write(name+"/values.yaml", "greeting: hello\n")
	h.write(name+"/templates/map.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: {{ .Release.Name }}}\ndata: {greeting: {{ .Values.greeting }}}\n")
	h.run("helm", "package", name)
}

func helmHome(t testing.TB, p *project) *home {
	h := newHome(t)
	h.feed(p.editor.token, "helm", "registry", "login", "--plain-http", p.host, "--username", p.editor.user, "--password-stdin")
	return h
}

func TestHelmPushesAndPulls(t *testing.T) {
	p := newProject(t)
	h := helmHome(t, p)
	to := "oci://" + p.ref("charts/x")
	for _, version := range []string{"0.1.0", "0.2.0", "0.2.1+build.5"} {
		h.chart("hello", version)
		h.run("helm", "push", "--plain-http", "hello-"+version+".tgz", to)
	}
	// A tag has no plus sign.
	p.tags(t, "charts/x/hello", "0.1.0", "0.2.0", "0.2.1_build.5")
	m := p.pushed(t, "charts/x/hello", "0.1.0")
	if got := m.Config.MediaType; got != "application/vnd.cncf.helm.config.v1+json" {
		t.Errorf("the chart's configuration is of type %s", got)
	}

	elsewhere := helmHome(t, p)
	contains(t, elsewhere.run("helm", "show", "chart", "--plain-http", to+"/hello", "--version", "0.2.0"), "version: 0.2.0")
	contains(t, elsewhere.run("helm", "show", "values", "--plain-http", to+"/hello"), "greeting: hello")
	contains(t, elsewhere.run("helm", "template", "--plain-http", "mine", to+"/hello", "--version", "^0.1"), "name: mine", "greeting: hello")
	elsewhere.run("helm", "pull", "--plain-http", "--untar", to+"/hello", "--version", "0.2.1+build.5")
	contains(t, elsewhere.read("hello/Chart.yaml"), "0.2.1+build.5")
	contains(t, elsewhere.run("helm", "show", "chart", "--plain-http", to+"/hello@"+m.digest), "version: 0.1.0")

	// A chart that depends on it.
	elsewhere.write("parent/Chart.yaml", "apiVersion: v2\nname: parent\nversion: 1.0.0\ndependencies: [{name: hello, version: 0.1.0, repository: \""+to+"\"}]\n")
	elsewhere.run("helm", "dependency", "update", "--plain-http", "parent")
	elsewhere.run("helm", "package", "parent")
	elsewhere.run("helm", "push", "--plain-http", "parent-1.0.0.tgz", to)
	p.pushed(t, "charts/x/parent", "1.0.0")
}

func TestHelmIsLetInByRights(t *testing.T) {
	p := newProject(t)
	h := helmHome(t, p)
	h.chart("hello", "0.1.0")
	to := "oci://" + p.ref("charts")
	h.run("helm", "push", "--plain-http", "hello-0.1.0.tgz", to)

	nobody := newHome(t)
	nobody.refused(denied, "helm", "show", "chart", "--plain-http", to+"/hello", "--version", "0.1.0")
	nobody.refusedLogin("helm", "registry", "login", "--plain-http", p.host, "--username", "editor", "--password-stdin")
	p.letEverybodyPull(t)
	nobody.eventually("helm", "show", "chart", "--plain-http", to+"/hello", "--version", "0.1.0")
	nobody.chart("hello", "0.2.0")
	nobody.refused(denied, "helm", "push", "--plain-http", "hello-0.2.0.tgz", to)
	p.tags(t, "charts/hello", "0.1.0")

	h.run("helm", "registry", "logout", p.host)
	h.chart("hello", "0.3.0")
	h.refused(denied, "helm", "push", "--plain-http", "hello-0.3.0.tgz", to)
}
