package chaos_test

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"

	imagev1 "github.com/openshift/api/image/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"weir.dev/weir/internal/testenv"
)

// TestEndlessTagLists lists the tags of registries that never come to an end with it.
func TestEndlessTagLists(t *testing.T) {
	env := testenv.Start(t, withConfig(t, hostileConfig))
	ns := env.Namespace(t, "hostile")
	memory := watchMemory(t)
	for _, test := range []struct {
		name, message string
		list          http.HandlerFunc
	}{
		{"ever new pages", "pages", func(w http.ResponseWriter, r *http.Request) {
			page, _ := strconv.Atoi(r.URL.Query().Get("page"))
			w.Header().Set("Link", fmt.Sprintf(`</v2/team/app/tags/list?page=%d>; rel="next"`, page+1))
			fmt.Fprintf(w, `{"name":"team/app","tags":["p%d"]}`, page)
		}},
		{"the same page for ever", "cannot be followed", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Link", `</v2/team/app/tags/list>; rel="next"`)
			fmt.Fprint(w, `{"name":"team/app","tags":["1"]}`)
		}},
		{"an endless page", "8388608", func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprint(w, `{"name":"team/app","tags":[""`)
			for i := 0; r.Context().Err() == nil && i < 10_000_000; i++ {
				if _, err := fmt.Fprintf(w, `,"tag-%d"`, i); err != nil {
					return
				}
			}
		}},
		{"a page on another host", "cannot be followed", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Link", `<http://169.254.169.254/latest/meta-data>; rel="next"`)
			fmt.Fprint(w, `{"name":"team/app","tags":["1"]}`)
		}},
		{"html", "not readable", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<html></html>") }},
	} {
		t.Run(test.name, func(t *testing.T) {
			upstream := testenv.NewRegistry(t)
			upstream.Intercept(func(w http.ResponseWriter, r *http.Request) bool {
				if !strings.HasSuffix(r.URL.Path, "/tags/list") {
					return false
				}
				test.list(w, r)
				return true
			})
			isi := importOf(strings.ReplaceAll(test.name, " ", "-"))
			isi.Spec.Repository = &imagev1.RepositoryImportSpec{ImportPolicy: imagev1.TagImportPolicy{Insecure: true}}
			isi.Spec.Repository.From.Kind, isi.Spec.Repository.From.Name = "DockerImage", upstream.Ref("team/app")
			answered, err := env.Images.ImageV1().ImageStreamImports(ns).Create(t.Context(), isi, metav1.CreateOptions{})
			if err != nil {
				t.Fatal(err)
			}
			status := answered.Status.Repository.Status
			if status.Reason != internal || !contains(status.Message, test.message) || len(answered.Status.Repository.Images) > 0 {
				t.Errorf("%s %q, want %s with %q", status.Reason, status.Message, internal, test.message)
			}
		})
	}
	memory.check(t, 150<<20)
}
