package api_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	imagev1 "github.com/openshift/api/image/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"golang.org/x/sync/errgroup"

	"weir.dev/weir/internal/testenv"
)

const (
	mergePatch     = "application/merge-patch+json"
	strategicPatch = "application/strategic-merge-patch+json"
	jsonPatch      = "application/json-patch+json"
	applyPatch     = "application/apply-patch+yaml"
)

// streamTags and imageTags are the paths of the two views of a namespace's tags.
func streamTags(ns, name string) string { return inNamespace(ns, "imagestreamtags") + name }

func imageTags(ns, name string) string { return inNamespace(ns, "imagetags") + name }

func get(t *testing.T, path string) reply {
	t.Helper()
	return raw(t, env.Config, http.MethodGet, path, "")
}

func del(t *testing.T, path string) reply {
	t.Helper()
	return raw(t, env.Config, http.MethodDelete, path, "")
}

func put(t *testing.T, path, body string) reply {
	t.Helper()
	return raw(t, env.Config, http.MethodPut, path, body)
}

func post(t *testing.T, path, body string) reply {
	t.Helper()
	return raw(t, env.Config, http.MethodPost, path, body)
}

func patch(t *testing.T, path, kind, body string) reply {
	t.Helper()
	return raw(t, env.Config, http.MethodPatch, path, body, "Content-Type", kind)
}

// wantCode fails a test that cannot go on without this answer.
func (r reply) wantCode(t *testing.T, code int) reply {
	t.Helper()
	if r.code != code {
		t.Fatalf("answered %d, want %d: %s", r.code, code, r.body)
	}
	return r
}

// referenceTag is the body of an ImageStreamTag that merely refers to an image, so
// that nobody goes and imports it.
func referenceTag(name, ref, metadata string) string {
	return fmt.Sprintf(`{"metadata":{"name":%q%s},"tag":{"from":{"kind":"DockerImage","name":%q},"reference":true}}`, name, metadata, ref)
}

func specTagOf(s *imagev1.ImageStream, name string) *imagev1.TagReference {
	for i := range s.Spec.Tags {
		if s.Spec.Tags[i].Name == name {
			return &s.Spec.Tags[i]
		}
	}
	return nil
}

func wantNoStream(t *testing.T, ns, name string) {
	t.Helper()
	if _, err := env.Images.ImageV1().ImageStreams(ns).Get(t.Context(), name, metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("stream %s: %v, want that there is none", name, err)
	}
}

// table is a Table as far as its text goes.
type table struct {
	Kind              string
	Metadata          metav1.ListMeta
	ColumnDefinitions []struct{ Name string }
	Rows              []struct{ Cells []any }
}

func getTable(t *testing.T, path string) table {
	t.Helper()
	var got table
	r := raw(t, env.Config, http.MethodGet, path, "", "Accept", acceptTable)
	if err := json.Unmarshal(r.body, &got); err != nil || r.code != http.StatusOK || got.Kind != "Table" {
		t.Fatalf("answered %d: %s (%v)", r.code, r.body, err)
	}
	return got
}

// grant gives a user rights on resources of the group in a namespace, and waits
// until they count.
func grant(t *testing.T, ns, user string, resources []string, verbs ...string) {
	t.Helper()
	meta := metav1.ObjectMeta{Name: user}
	role := &rbacv1.Role{ObjectMeta: meta, Rules: []rbacv1.PolicyRule{{APIGroups: []string{"image.openshift.io"}, Resources: resources, Verbs: verbs}}}
	binding := &rbacv1.RoleBinding{
		ObjectMeta: meta,
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: user},
		Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: "User", Name: user}},
	}
	if _, err := env.Kube.RbacV1().Roles(ns).Create(t.Context(), role, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := env.Kube.RbacV1().RoleBindings(ns).Create(t.Context(), binding, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	testenv.Eventually(t, "the rights of "+user, func() error {
		if r := raw(t, env.As(user), http.MethodGet, inNamespace(ns, resources[0])+"/nope:nope", ""); r.code != http.StatusNotFound {
			return fmt.Errorf("answered %d: %s", r.code, r.body)
		}
		return nil
	})
}

// writeTag adds a tag to stream s in one of the ways there are.
func writeTag(ctx context.Context, ns, tag string, way int) error {
	name, spec := "s:"+tag, fmt.Sprintf(`{"name":%q,"reference":true,"from":{"kind":"DockerImage","name":"registry.example.com/x:1"}}`, tag)
	var r reply
	var err error
	switch way % 5 {
	case 0:
		r, err = send(ctx, env.Config, http.MethodPut, streamTags(ns, "/"+name), `{"metadata":{"name":"`+name+`"},"tag":`+spec+`}`, nil)
	case 1:
		r, err = send(ctx, env.Config, http.MethodPost, streamTags(ns, ""), `{"metadata":{"name":"`+name+`"},"tag":`+spec+`}`, nil)
	case 2:
		r, err = send(ctx, env.Config, http.MethodPatch, imageTags(ns, "/"+name), `{"spec":`+spec+`}`, []string{"Content-Type", mergePatch})
	case 3:
		r, err = send(ctx, env.Config, http.MethodPost, imageTags(ns, ""), `{"metadata":{"name":"`+name+`"},"spec":`+spec+`}`, nil)
	case 4:
		body := `{"apiVersion":"image.openshift.io/v1","kind":"ImageStream","metadata":{"name":"s"},"spec":{"tags":[` + spec + `]}}`
		r, err = send(ctx, env.Config, http.MethodPatch, inNamespace(ns, "imagestreams/s?fieldManager="+tag), body, []string{"Content-Type", applyPatch})
	}
	if err != nil {
		return err
	}
	if r.code != http.StatusCreated && r.code != http.StatusOK {
		return fmt.Errorf("writing %s: answered %d: %s", name, r.code, r.body)
	}
	return nil
}

func TestTagsInDiscovery(t *testing.T) {
	resources, err := env.Images.Discovery().ServerResourcesForGroupVersion("image.openshift.io/v1")
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]metav1.APIResource{}
	for _, r := range resources.APIResources {
		got[r.Name] = r
	}
	verbs := metav1.Verbs{"create", "delete", "get", "list", "patch", "update"}
	want := map[string]metav1.APIResource{
		"imagestreamtags": {Name: "imagestreamtags", SingularName: "imagestreamtag", Namespaced: true, Kind: "ImageStreamTag", Verbs: verbs, ShortNames: []string{"istag"}},
		"imagetags":       {Name: "imagetags", SingularName: "imagetag", Namespaced: true, Kind: "ImageTag", Verbs: verbs, ShortNames: []string{"itag"}},
	}
	for name, want := range want {
		if diff := cmp.Diff(want, got[name]); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestTagsCannotBeWatchedNorDeletedTogether(t *testing.T) {
	ns := env.Namespace(t, "istag")
	for _, path := range []string{streamTags(ns, ""), imageTags(ns, "")} {
		if r := get(t, path+"?watch=1"); r.code != http.StatusMethodNotAllowed {
			t.Errorf("watch of %s answered %d: %s", path, r.code, r.body)
		}
		if r := del(t, path); r.code != http.StatusMethodNotAllowed {
			t.Errorf("DELETE of %s answered %d: %s", path, r.code, r.body)
		}
	}
}

func TestTagDryRunWritesNothing(t *testing.T) {
	ns := env.Namespace(t, "istag")
	const dry = "?dryRun=All"
	made := func(r reply) {
		t.Helper()
		var got struct{ Metadata map[string]any }
		unmarshal(t, r.wantCode(t, http.StatusCreated).body, &got)
		if got.Metadata["uid"] != nil || got.Metadata["resourceVersion"] != nil {
			t.Errorf("a stream that was not made has an identity: %v", got.Metadata)
		}
	}
	istag, itag := referenceTag("new:1", "registry.example.com/x:1", ""), `{"metadata":{"name":"new:1"},"spec":{"name":"1"}}`
	made(post(t, streamTags(ns, "")+dry, istag))
	made(post(t, imageTags(ns, "")+dry, itag))
	made(put(t, streamTags(ns, "/new:1")+dry, istag))
	made(put(t, imageTags(ns, "/new:1")+dry, itag))
	wantNoStream(t, ns, "new")

	put(t, streamTags(ns, "/s:1"), referenceTag("s:1", "registry.example.com/x:1", "")).wantCode(t, http.StatusCreated)
	before := getStream(t, ns, "s")
	put(t, streamTags(ns, "/s:1")+dry, referenceTag("s:1", "registry.example.com/x:2", "")).wantCode(t, http.StatusOK)
	put(t, streamTags(ns, "/s:2")+dry, referenceTag("s:2", "registry.example.com/x:2", "")).wantCode(t, http.StatusCreated)
	patch(t, imageTags(ns, "/s:1")+dry, mergePatch, `{"spec":{"reference":false}}`).wantCode(t, http.StatusOK)
	for _, path := range []string{streamTags(ns, "/s:1"), imageTags(ns, "/s:1")} {
		del(t, path+dry).wantCode(t, http.StatusOK)
	}
	if diff := cmp.Diff(before, getStream(t, ns, "s")); diff != "" {
		t.Errorf("the stream was written (-before +after):\n%s", diff)
	}
	post(t, streamTags(ns, "")+"?dryRun=x", istag).wantStatus(t, http.StatusUnprocessableEntity, metav1.StatusReasonInvalid, "CreateOptions", "")
}

func TestTagDelete(t *testing.T) {
	ns := env.Namespace(t, "istag")
	for resource, path := range map[string]func(ns, name string) string{"imagestreamtags": streamTags, "imagetags": imageTags} {
		t.Run(resource, func(t *testing.T) {
			name := strings.TrimSuffix(resource, "s")
			s := makeStream(t, ns, name)
			img := plainImage(digestOf(t, "a"))
			push(t, ns, name, "pushed", img)
			push(t, ns, name, "both", img)
			for _, tag := range []string{"both", "spec"} {
				put(t, streamTags(ns, "/"+name+":"+tag), `{"metadata":{"name":"`+name+`:`+tag+`"},"tag":{}}`).wantCode(t, http.StatusCreated)
			}
			uid := func(uid string) string { return `{"preconditions":{"uid":"` + uid + `"}}` }
			raw(t, env.Config, http.MethodDelete, path(ns, "/"+name+":both"), uid("x")).wantStatus(t, http.StatusConflict, metav1.StatusReasonConflict, resource, name+":both")
			raw(t, env.Config, http.MethodDelete, path(ns, "/"+name+":both"), uid(string(s.UID))).
				want(t, http.StatusOK, `{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Success"}`)
			for _, tag := range []string{"spec", "pushed"} {
				del(t, path(ns, "/"+name+":"+tag)).wantCode(t, http.StatusOK)
			}
			if now := getStream(t, ns, name); len(now.Spec.Tags)+len(now.Status.Tags) != 0 {
				t.Errorf("left are %v, %v", now.Spec.Tags, now.Status.Tags)
			}
			del(t, path(ns, "/"+name+":both")).wantStatus(t, http.StatusNotFound, metav1.StatusReasonNotFound, resource, name+":both")
			del(t, path(ns, "/nope:both")).wantStatus(t, http.StatusNotFound, metav1.StatusReasonNotFound, resource, "nope")
		})
	}
}

func TestTagsAreRefusedToStrangers(t *testing.T) {
	ns := env.Namespace(t, "istag")
	makeStream(t, ns, "s")
	push(t, ns, "s", "1", plainImage(digestOf(t, "a")))
	for resource, body := range map[string]string{
		"imagestreamtags": `{"metadata":{"name":"s:1"},"tag":{}}`,
		"imagetags":       `{"metadata":{"name":"s:1"},"spec":{"name":"1"}}`,
	} {
		all, one := inNamespace(ns, resource), inNamespace(ns, resource)+"/s:1"
		wantRefused(t, http.MethodGet, groupPath+"/"+resource, "", resource, "")
		wantRefused(t, http.MethodGet, all, "", resource, "")
		wantRefused(t, http.MethodPost, all, body, resource, "")
		wantRefused(t, http.MethodGet, one, "", resource, "s:1")
		wantRefused(t, http.MethodPut, one, body, resource, "s:1")
		wantRefused(t, http.MethodPatch, one, body, resource, "s:1")
		wantRefused(t, http.MethodDelete, one, "", resource, "s:1")
	}
	if s := getStream(t, ns, "s"); len(s.Spec.Tags) != 0 || len(s.Status.Tags) != 1 {
		t.Errorf("changed all the same: %v, %v", s.Spec.Tags, s.Status.Tags)
	}
}

func TestTagsAreWrittenWithoutRightsOnStreams(t *testing.T) {
	ns := env.Namespace(t, "istag")
	grant(t, ns, "tagger", []string{"imagestreamtags", "imagetags"}, "get", "create", "update", "delete")
	grant(t, ns, "updater", []string{"imagestreamtags", "imagetags"}, "get", "update")
	tag := func(who, name string) reply {
		return raw(t, env.As(who), http.MethodPut, streamTags(ns, "/"+name), referenceTag(name, "registry.example.com/x:1", ""))
	}
	// Who may update but not create makes no tags.
	tag("updater", "s:1").wantStatus(t, http.StatusForbidden, metav1.StatusReasonForbidden, "imagestreamtags", "s:1")
	wantNoStream(t, ns, "s")
	tag("tagger", "s:1").wantCode(t, http.StatusCreated)
	tag("updater", "s:2").wantStatus(t, http.StatusForbidden, metav1.StatusReasonForbidden, "imagestreamtags", "s:2")
	tag("updater", "s:1").wantCode(t, http.StatusOK)
	raw(t, env.As("updater"), http.MethodPut, imageTags(ns, "/s:3"), `{"metadata":{"name":"s:3"},"spec":{"name":"3"}}`).
		wantStatus(t, http.StatusForbidden, metav1.StatusReasonForbidden, "imagetags", "s:3")
	raw(t, env.As("tagger"), http.MethodDelete, streamTags(ns, "/s:1"), "").wantCode(t, http.StatusOK)
	raw(t, env.As("tagger"), http.MethodGet, inNamespace(ns, "imagestreams/s"), "").wantStatus(t, http.StatusForbidden, metav1.StatusReasonForbidden, "imagestreams", "s")
}

// TestTagWritersLoseNothing has writers through both views of tags and through the
// stream itself race for one stream that is not there at first.
func TestTagWritersLoseNothing(t *testing.T) {
	const writers, tagsEach = 8, 10
	ns := env.Namespace(t, "itag")
	writes, ctx := errgroup.WithContext(t.Context())
	for w := range writers {
		writes.Go(func() error {
			for i := range tagsEach {
				if err := writeTag(ctx, ns, fmt.Sprintf("w%d-%d", w, i), w+i); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err := writes.Wait(); err != nil {
		t.Fatal(err)
	}
	s := getStream(t, ns, "s")
	for w := range writers {
		for i := range tagsEach {
			if tag := fmt.Sprintf("w%d-%d", w, i); specTagOf(s, tag) == nil {
				t.Errorf("tag %s was lost", tag)
			}
		}
	}
}
