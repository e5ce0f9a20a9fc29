package api_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// applyTag applies an imagestreamtag that refers to registry.example.com/x:VERSION.
func applyTag(t *testing.T, ns, name, manager, version, metadata string, query ...string) reply {
	t.Helper()
	body := fmt.Sprintf(`{"apiVersion":"image.openshift.io/v1","kind":"ImageStreamTag","metadata":{"name":%q%s},
		"tag":{"from":{"kind":"DockerImage","name":"registry.example.com/x:%s"},"reference":true}}`, name, metadata, version)
	return patch(t, streamTags(ns, "/"+name)+"?fieldManager="+manager+strings.Join(query, ""), applyPatch, body)
}

func applyImageTag(t *testing.T, ns, name, manager, version string, query ...string) reply {
	t.Helper()
	_, tag, _ := strings.Cut(name, ":")
	body := fmt.Sprintf(`{"apiVersion":"image.openshift.io/v1","kind":"ImageTag","metadata":{"name":%q},
		"spec":{"name":%q,"from":{"kind":"DockerImage","name":"registry.example.com/x:%s"},"reference":true}}`, name, tag, version)
	return patch(t, imageTags(ns, "/"+name)+"?fieldManager="+manager+strings.Join(query, ""), applyPatch, body)
}

func wantFrom(t *testing.T, ns, tag, version string) {
	t.Helper()
	if got := specTagOf(getStream(t, ns, "s"), tag); got == nil || got.From.Name != "registry.example.com/x:"+version {
		t.Errorf("tag %s is %+v, want it from x:%s", tag, got, version)
	}
}

// wantApplyConflict checks that an apply was refused on account of another manager.
func (r reply) wantApplyConflict(t *testing.T, manager, field string) {
	t.Helper()
	r.wantStatus(t, http.StatusConflict, metav1.StatusReasonConflict, "", "")
	if r.code == http.StatusConflict {
		r.wantCauses(t, "FieldManagerConflict "+field)
		if !strings.Contains(r.status(t).Message, fmt.Sprintf("%q", manager)) {
			t.Errorf("the conflict does not name %s: %s", manager, r.body)
		}
	}
}

// owners are the managers of a stream who own a field of a tag, as "manager/subresource".
func owners(t *testing.T, ns, tag string) []string {
	t.Helper()
	var found []string
	for _, entry := range getStream(t, ns, "s").ManagedFields {
		if strings.Contains(string(entry.FieldsV1.GetRawBytes()), fmt.Sprintf(`k:{\"name\":\"%s\"}`, tag)) {
			found = append(found, entry.Manager+"/"+entry.Subresource)
		}
	}
	return found
}

func TestAppliedTagsHaveManagers(t *testing.T) {
	ns := env.Namespace(t, "apply")
	applyTag(t, ns, "s:1", "m", "1", "").wantCode(t, http.StatusCreated)
	applyTag(t, ns, "s:1", "m", "1", "").wantCode(t, http.StatusOK)
	applyTag(t, ns, "s:1", "m", "2", "").wantCode(t, http.StatusOK)
	wantFrom(t, ns, "1", "2")
	applyTag(t, ns, "s:1", "n", "3", "").wantApplyConflict(t, "m", ".tag.from")
	applyTag(t, ns, "s:1", "n", "2", "").wantCode(t, http.StatusOK) // both own it now
	applyTag(t, ns, "s:1", "m", "4", "").wantApplyConflict(t, "n", ".tag.from")
	applyTag(t, ns, "s:1", "m", "4", "", "&force=true").wantCode(t, http.StatusOK)
	wantFrom(t, ns, "1", "4")
	applyTag(t, ns, "s:1", "n", "2", "").wantApplyConflict(t, "m", ".tag.from")

	// Tags of one stream are independent of each other, and so are their managers.
	applyTag(t, ns, "s:2", "n", "5", "").wantCode(t, http.StatusCreated)
	applyTag(t, ns, "s:2", "n", "6", "").wantCode(t, http.StatusOK)
	wantFrom(t, ns, "1", "4")
	wantFrom(t, ns, "2", "6")
	if diff := cmp.Diff([]string{"n/imagestreamtags"}, owners(t, ns, "2")); diff != "" {
		t.Errorf("owners of tag 2 (-want +got):\n%s", diff)
	}

	// A tag that is deleted has no managers when it is made again.
	del(t, streamTags(ns, "/s:1")).wantCode(t, http.StatusOK)
	applyTag(t, ns, "s:1", "o", "7", "").wantCode(t, http.StatusCreated)
	wantFrom(t, ns, "1", "7")
}

func TestAppliedFieldsThatAreLeftOutAreRemoved(t *testing.T) {
	ns := env.Namespace(t, "apply")
	applyTag(t, ns, "s:1", "m", "1", `,"annotations":{"a":"b","c":"d"}`).wantCode(t, http.StatusCreated)
	if got := specTagOf(getStream(t, ns, "s"), "1").Annotations; got["a"] != "b" || got["c"] != "d" {
		t.Errorf("annotations %v", got)
	}
	applyTag(t, ns, "s:1", "n", "1", `,"annotations":{"e":"f"}`).wantCode(t, http.StatusOK)
	applyTag(t, ns, "s:1", "m", "1", `,"annotations":{"a":"x"}`).wantCode(t, http.StatusOK)
	if diff := cmp.Diff(map[string]string{"a": "x", "e": "f"}, specTagOf(getStream(t, ns, "s"), "1").Annotations); diff != "" {
		t.Errorf("annotations (-want +got):\n%s", diff)
	}
}

// TestManagersOfATagAreThoseOfItsStream applies a tag through the stream and through both views.
func TestManagersOfATagAreThoseOfItsStream(t *testing.T) {
	ns := env.Namespace(t, "apply")
	stream := func(manager, version, query string) reply {
		body := `{"apiVersion":"image.openshift.io/v1","kind":"ImageStream","metadata":{"name":"s"},"spec":{"tags":[
			{"name":"1","reference":true,"from":{"kind":"DockerImage","name":"registry.example.com/x:` + version + `"}}]}}`
		return patch(t, inNamespace(ns, "imagestreams/s?fieldManager="+manager+query), applyPatch, body)
	}
	stream("owner", "1", "").wantCode(t, http.StatusCreated)
	applyTag(t, ns, "s:1", "m", "2", "").wantApplyConflict(t, "owner", ".tag.from")
	applyImageTag(t, ns, "s:1", "m", "2").wantApplyConflict(t, "owner", ".spec.from")
	applyTag(t, ns, "s:1", "m", "2", "", "&force=true").wantCode(t, http.StatusOK)
	stream("owner", "1", "").wantApplyConflict(t, "m", `.spec.tags[name="1"].from`)
	applyImageTag(t, ns, "s:1", "n", "3").wantApplyConflict(t, "m", ".spec.from")
	applyImageTag(t, ns, "s:1", "m", "3").wantCode(t, http.StatusOK)
	wantFrom(t, ns, "1", "3")
	stream("owner", "4", "&force=true").wantCode(t, http.StatusOK)
	applyTag(t, ns, "s:1", "m", "3", "").wantApplyConflict(t, "owner", ".tag.from")
	wantFrom(t, ns, "1", "4")
}

// TestOtherWritesOfTagsLeaveManagersAlone is the contract for writes through views that are no apply.
func TestOtherWritesOfTagsLeaveManagersAlone(t *testing.T) {
	ns := env.Namespace(t, "apply")
	applyTag(t, ns, "s:1", "m", "1", "").wantCode(t, http.StatusCreated)
	before := getStream(t, ns, "s").ManagedFields
	nextSecond(t)
	put(t, streamTags(ns, "/s:1"), referenceTag("s:1", "registry.example.com/x:2", "")).wantCode(t, http.StatusOK)
	patch(t, imageTags(ns, "/s:1"), mergePatch, `{"spec":{"from":{"name":"registry.example.com/x:3"}}}`).wantCode(t, http.StatusOK)
	post(t, streamTags(ns, ""), referenceTag("s:2", "registry.example.com/x:1", "")).wantCode(t, http.StatusCreated)
	if diff := cmp.Diff(before, getStream(t, ns, "s").ManagedFields); diff != "" {
		t.Errorf("managedFields (-before +after):\n%s", diff)
	}
	// A tag that was made without an apply has an owner that stands for all that wrote it.
	applyTag(t, ns, "s:2", "m", "2", "").wantApplyConflict(t, "before-first-apply", ".tag.from")
	applyTag(t, ns, "s:2", "m", "2", "", "&force=true").wantCode(t, http.StatusOK)
	applyTag(t, ns, "s:2", "m", "3", "").wantCode(t, http.StatusOK)
	wantFrom(t, ns, "2", "3")
}
