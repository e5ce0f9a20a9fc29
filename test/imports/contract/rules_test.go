package contract_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"weir.dev/weir/internal/imageapi"
	"weir.dev/weir/internal/testenv"
	"weir.dev/weir/internal/testenv/testimage"
)

func TestRegistriesConf(t *testing.T) {
	t.Parallel()
	ns := env.Namespace(t, "rules")
	name := mirror.Push(t, "mirrored/x:1", testimage.Image(t, "linux/amd64"))
	for _, test := range []struct {
		from string
		want metav1.StatusReason // "" for success
		text string
	}{
		{unreachable + "/by-digest/x@" + name, "", ""},
		{unreachable + "/by-digest/x:1", metav1.StatusReasonInternalError, "no answer"},
		{unreachable + "/by-tag/x:1", "", ""},
		{unreachable + "/by-tag/x@" + name, metav1.StatusReasonInternalError, "no answer"},
		{unreachable + "/in-order/x:1", "", ""},
		{unreachable + "/in-order/x:gone", metav1.StatusReasonInternalError, "also tried: " + mirror.Host + "/nothing-here/x"},
		{unreachable + "/never-the-source/x:1", "", ""},
		{unreachable + "/never-the-source/x:gone", metav1.StatusReasonNotFound, "not found"},
		{unreachable + "/no-rule/x:1", metav1.StatusReasonInternalError, "no answer"},
	} {
		t.Run(test.from, func(t *testing.T) {
			spec := image(test.from, "")
			spec.ImportPolicy.Insecure = false // the mirrors' own rules say so
			status := post(t, ns, looking(spec)).Status.Images[0]
			if test.want != "" {
				wantFailure(t, status.Status, test.want, test.text)
				return
			}
			wantSuccess(t, status, name)
			if t.Failed() {
				return
			}
			if got, want := status.Image.DockerImageReference, unreachablePath(test.from)+"@"+name; got != want {
				t.Errorf("reference %s, want %s as it was written", got, want)
			}
			if got := status.Image.Annotations[imageapi.AnnotationImportSource]; got != mirror.Host+"/mirrored/x" {
				t.Errorf("source %q, annotations %v", got, status.Image.Annotations)
			}
		})
	}
}

// A mirror that is out of order is told although the import succeeds.
func TestFailedMirrorIsReported(t *testing.T) {
	t.Parallel()
	ns := env.Namespace(t, "rules")
	name := mirror.Push(t, "mirrored/x:1", testimage.Image(t, "linux/amd64"))
	isi := importing("s", image(unreachable+"/behind-a-dead-one/x:1", "a"))
	isi.Spec.Images[0].ImportPolicy.Insecure = false
	wantSuccess(t, post(t, ns, isi).Status.Images[0], name)
	testenv.Eventually(t, "an Event on the stream", func() error {
		found, err := env.Kube.EventsV1().Events(ns).List(t.Context(), metav1.ListOptions{})
		if err != nil {
			return err
		}
		for i := range found.Items {
			if e := &found.Items[i]; e.Reason == "SourceFailed" && e.Regarding.Kind == "ImageStream" && e.Regarding.Name == "s" &&
				strings.HasPrefix(e.Note, "127.0.0.1:1/dead/x failed, and one image came from another source: ") {
				return nil
			}
		}
		return fmt.Errorf("%d Events", len(found.Items))
	})
}

// unreachablePath is a pull spec without tag and digest.
func unreachablePath(ref string) string {
	for i := len(unreachable); i < len(ref); i++ {
		if ref[i] == ':' || ref[i] == '@' {
			return ref[:i]
		}
	}
	return ref
}

// customResource makes a kind of the config group known to the host.
func customResource(t *testing.T, kind, plural string) {
	t.Helper()
	crd := fmt.Sprintf(`{"apiVersion":"apiextensions.k8s.io/v1","kind":"CustomResourceDefinition","metadata":{"name":"%[2]s.config.openshift.io",
		"annotations":{"api-approved.kubernetes.io":"unapproved, for a test"}},
		"spec":{"group":"config.openshift.io","scope":"Cluster","names":{"kind":%[1]q,"plural":%[2]q},
		"versions":[{"name":"v1","served":true,"storage":true,"schema":{"openAPIV3Schema":{"type":"object","x-kubernetes-preserve-unknown-fields":true}}}]}}`, kind, plural)
	const path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
	create(t, path, crd)
	t.Cleanup(func() {
		err := env.Kube.Discovery().RESTClient().Delete().AbsPath(path, plural+".config.openshift.io").Do(context.Background()).Error()
		if err != nil {
			t.Errorf("taking the kind %s away again: %v", kind, err)
		}
	})
}

// create posts a document, to a resource that may be about to appear.
func create(t *testing.T, path, document string) {
	t.Helper()
	testenv.Eventually(t, "creating at "+path, func() error {
		return env.Kube.Discovery().RESTClient().Post().AbsPath(path).SetHeader("Content-Type", "application/json").Body([]byte(document)).Do(t.Context()).Error()
	})
}

// TestRulesOfClusterObjects makes the kinds and the objects while the server runs, and
// takes the objects away again.
func TestRulesOfClusterObjects(t *testing.T) {
	t.Parallel()
	ns, upstream := env.Namespace(t, "rules"), testenv.NewRegistry(t)
	name := upstream.Push(t, "mirrored/x:1", testimage.Image(t, "linux/amd64"))
	byDigest, byTag := image(unreachable+"/idms/x@"+name, ""), image(unreachable+"/itms/x:1", "")
	both := looking(byDigest, byTag)
	for _, status := range post(t, ns, both).Status.Images {
		wantFailure(t, status.Status, metav1.StatusReasonInternalError, "no answer")
	}
	const api = "/apis/config.openshift.io/v1/"
	customResource(t, "ImageDigestMirrorSet", "imagedigestmirrorsets")
	customResource(t, "ImageTagMirrorSet", "imagetagmirrorsets")
	create(t, api+"imagedigestmirrorsets", fmt.Sprintf(`{"apiVersion":"config.openshift.io/v1","kind":"ImageDigestMirrorSet","metadata":{"name":"m"},
		"spec":{"imageDigestMirrors":[{"source":"%s/idms","mirrors":["%s/mirrored"]}]}}`, unreachable, upstream.Host))
	create(t, api+"imagetagmirrorsets", fmt.Sprintf(`{"apiVersion":"config.openshift.io/v1","kind":"ImageTagMirrorSet","metadata":{"name":"m"},
		"spec":{"imageTagMirrors":[{"source":"%s/itms","mirrors":["%s/mirrored"]}]}}`, unreachable, upstream.Host))
	customResource(t, "Image", "images")
	create(t, api+"images", fmt.Sprintf(`{"apiVersion":"config.openshift.io/v1","kind":"Image","metadata":{"name":"cluster"},
		"spec":{"registrySources":{"insecureRegistries":[%q],"blockedRegistries":["blocked-live.example"]}}}`, upstream.Host))
	testenv.Eventually(t, "the mirrors to count", func() error {
		for i, status := range post(t, ns, both).Status.Images {
			if status.Status.Status != metav1.StatusSuccess || status.Image.Name != name {
				return fmt.Errorf("image %d: %s", i, status.Status.Message)
			}
		}
		return nil
	})
	testenv.Eventually(t, "the block to count", func() error {
		if status := post(t, ns, looking(image("blocked-live.example/x:1", ""))).Status.Images[0].Status; status.Reason != metav1.StatusReasonForbidden {
			return fmt.Errorf("%s", status.Message)
		}
		return nil
	})
	// IDMS mirrors are for digests, ITMS mirrors for tags.
	swapped := post(t, ns, looking(image(unreachable+"/idms/x:1", ""), image(unreachable+"/itms/x@"+name, "")))
	for _, status := range swapped.Status.Images {
		wantFailure(t, status.Status, metav1.StatusReasonInternalError, "no answer")
	}
	if err := env.Kube.Discovery().RESTClient().Delete().AbsPath(api + "imagetagmirrorsets/m").Do(t.Context()).Error(); err != nil {
		t.Fatal(err)
	}
	testenv.Eventually(t, "the mirror to be forgotten", func() error {
		if status := post(t, ns, looking(byTag)).Status.Images[0].Status; status.Status == metav1.StatusSuccess {
			return fmt.Errorf("it still serves")
		}
		return nil
	})
}
