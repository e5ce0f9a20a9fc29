package api_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	imagev1 "github.com/openshift/api/image/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"weir.dev/weir/internal/testenv"
	"weir.dev/weir/internal/testenv/testimage"
)

// claimMark is how the server marks an Image that is a mere claim.
const claimMark = "weir.dev/claimed-by"

// evil stands in all that an attacker writes, and in nothing else.
const evil = "evil"

// editor is a user who may do with the streams of a namespace of its own what an
// editor may. The namespace has an empty stream s.
type editor struct {
	namespace string
	config    *rest.Config
}

func newEditor(t *testing.T) editor {
	t.Helper()
	e := editor{namespace: env.Namespace(t, "claims")}
	user := "editor-of-" + e.namespace
	e.config = env.As(user)
	_, err := env.Kube.RbacV1().RoleBindings(e.namespace).Create(t.Context(), &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "editor"},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "registry-editor"},
		Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: "User", Name: user}},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	makeStream(t, e.namespace, "s")
	testenv.Eventually(t, "the rights of "+user, func() error {
		if r := e.get(t, "imagestreams/s"); r.code != http.StatusOK {
			return fmt.Errorf("answered %d: %s", r.code, r.body)
		}
		return nil
	})
	return e
}

func (e editor) get(t *testing.T, path string) reply {
	t.Helper()
	return raw(t, e.config, http.MethodGet, inNamespace(e.namespace, path), "")
}

// maps makes an image the head of the tag "mapped".
func (e editor) maps(t *testing.T, img *imagev1.Image) {
	t.Helper()
	raw(t, e.config, http.MethodPost, inNamespace(e.namespace, "imagestreammappings"), mapping(t, "s", "mapped", img)).wantCode(t, http.StatusCreated)
}

// imports imports a pull spec as the tag "imported".
func (e editor) imports(t *testing.T, from string, mode imagev1.ImportModeType) {
	t.Helper()
	isi, err := testenv.ImagesFor(e.config).ImageV1().ImageStreamImports(e.namespace).Create(t.Context(), &imagev1.ImageStreamImport{
		ObjectMeta: metav1.ObjectMeta{Name: "s"},
		Spec: imagev1.ImageStreamImportSpec{Import: true, Images: []imagev1.ImageImportSpec{{
			From:         corev1.ObjectReference{Kind: "DockerImage", Name: from},
			To:           &corev1.LocalObjectReference{Name: "imported"},
			ImportPolicy: imagev1.TagImportPolicy{Insecure: true, ImportMode: mode},
		}}},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if status := isi.Status.Images[0].Status; status.Status != metav1.StatusSuccess {
		t.Fatalf("importing %s: %v", from, status)
	}
	answer, err := json.Marshal(isi)
	if err != nil || strings.Contains(string(answer), evil) {
		t.Errorf("the import answers %s, %v", answer, err)
	}
}

// sees compares what the views of a tag show of an image with what they should: of
// evil something or nothing, and metadata with an architecture or without.
func (e editor) sees(t *testing.T, tag, name string, isEvil bool, architecture string) {
	t.Helper()
	for _, path := range []string{"imagestreamtags/s:" + tag, "imagetags/s:" + tag, "imagestreamimages/s@" + name} {
		body := string(e.get(t, path).wantCode(t, http.StatusOK).body)
		if got := strings.Contains(body, evil); got != isEvil {
			t.Errorf("%s of %s shows what the attacker wrote: %v, want %v: %s", path, e.namespace, got, isEvil, body)
		}
		if got := strings.Contains(body, `"Architecture":"`); got != (architecture != "") || !strings.Contains(body, architecture) {
			t.Errorf("%s of %s does not show the architecture as %q: %s", path, e.namespace, architecture, body)
		}
		if !strings.Contains(body, `"dockerImageReference":"`) || !strings.Contains(body, name) {
			t.Errorf("%s of %s shows no name or reference: %s", path, e.namespace, body)
		}
	}
	layers := e.get(t, "imagestreams/s/layers").wantCode(t, http.StatusOK)
	if got := strings.Contains(string(layers.body), layerDigest(evil)); got != isEvil {
		t.Errorf("the layers of %s have the attacker's: %v, want %v: %s", e.namespace, got, isEvil, layers.body)
	}
}

// attack is an image of that name as an attacker describes it.
func attack(name string) *imagev1.Image {
	img := plainImage(name)
	img.DockerImageReference = "evil.example.com/app@" + name
	img.Labels = map[string]string{"by": evil}
	img.Annotations = map[string]string{"images.openshift.io/deny-execution": "true", "note": evil, claimMark: "evil/evil"}
	img.DockerImageMetadata.Raw = []byte(`{"Id":"` + configDigest(name) + `","Config":{"Entrypoint":["evil"]},"Architecture":"s390x"}`)
	img.DockerImageLayers[0].Name = layerDigest(evil)
	return img
}

// told is what a registry tells of an image: its description, with or without the
// texts that prove it.
func told(t *testing.T, what v1.Image, texts bool) *imagev1.Image {
	t.Helper()
	manifest, err := what.RawManifest()
	if err != nil {
		t.Fatal(err)
	}
	config, err := what.RawConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	name := testimage.Digest(t, what)
	img := &imagev1.Image{
		ObjectMeta:           metav1.ObjectMeta{Name: name, Annotations: map[string]string{"openshift.io/image.managed": "true"}},
		DockerImageReference: "registry.example.com/app@" + name,
		DockerImageManifest:  string(manifest), DockerImageConfig: string(config),
		DockerImageManifestMediaType: "application/vnd.docker.distribution.manifest.v2+json",
	}
	if !texts {
		img.Annotations["image.openshift.io/manifestBlobStored"] = "true"
	}
	return img
}

func storedImage(t *testing.T, name string) *imagev1.Image {
	t.Helper()
	img, err := env.Images.ImageV1().Images().Get(t.Context(), name, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return img
}

func wantNoImage(t *testing.T, name string) {
	t.Helper()
	if _, err := env.Images.ImageV1().Images().Get(t.Context(), name, metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("image %s: %v, want that there is none", name, err)
	}
}

// wantTrue checks that a stored Image has nothing of an attacker's and the
// architecture of the truth.
func wantTrue(t *testing.T, name, architecture string) *imagev1.Image {
	t.Helper()
	img := storedImage(t, name)
	text := encoded(t, img)
	if strings.Contains(text, evil) || img.Annotations[claimMark] != "" || img.Annotations["images.openshift.io/deny-execution"] != "" {
		t.Errorf("image %s shows what the attacker wrote: %s", name, text)
	}
	if !strings.Contains(text, architecture) || strings.Contains(text, layerDigest(evil)) {
		t.Errorf("image %s does not show the truth, %s: %s", name, architecture, text)
	}
	return img
}

func TestImportCorrectsAClaim(t *testing.T) {
	upstream, attacker, victim := testenv.NewRegistry(t), newEditor(t), newEditor(t)
	name := upstream.Push(t, "team/app:1", testimage.Image(t, "linux/arm64"))
	attacker.maps(t, attack(name))
	attacker.sees(t, "mapped", name, true, "s390x")
	if got, want := storedImage(t, name).Annotations[claimMark], attacker.namespace+"/s"; got != want {
		t.Errorf("claimed by %q, want %q", got, want)
	}
	victim.imports(t, upstream.Ref("team/app:1"), "")
	victim.sees(t, "imported", name, false, "arm64")
	if img := wantTrue(t, name, "arm64"); img.DockerImageReference != upstream.Ref("team/app@"+name) {
		t.Errorf("corrected reference %q", img.DockerImageReference)
	}
	// The attacker's tag has the reference that it was given, and nothing of what was imported.
	if body := string(attacker.get(t, "imagestreamtags/s:mapped").body); strings.Contains(body, `"Entrypoint"`) || strings.Contains(body, "arm64") {
		t.Errorf("the attacker's tag shows %s", body)
	}
}

func TestImportCorrectsClaimsOfAListAndItsEntries(t *testing.T) {
	upstream, attacker, victim := testenv.NewRegistry(t), newEditor(t), newEditor(t)
	index, entries := testimage.List(t, "linux/arm64", "linux/amd64")
	name := upstream.Push(t, "team/app:1", index)
	attacker.maps(t, attack(name))
	attacker.maps(t, attack(entries[0]))
	victim.imports(t, upstream.Ref("team/app:1"), imagev1.ImportModePreserveOriginal)
	victim.sees(t, "imported", name, false, "")
	wantTrue(t, entries[0], "arm64")
	if list := wantTrue(t, name, "linux"); len(list.DockerImageManifests) != 2 || len(list.DockerImageLayers) != 0 {
		t.Errorf("the list has entries %v, layers %v", list.DockerImageManifests, list.DockerImageLayers)
	}
}

// A tag that has not changed upstream is not fetched again, unless its Image is a claim.
func TestImportOfAnUnchangedTagCorrectsAClaim(t *testing.T) {
	upstream, attacker, victim := testenv.NewRegistry(t), newEditor(t), newEditor(t)
	name := upstream.Push(t, "team/app:1", testimage.Image(t, "linux/arm64"))
	victim.imports(t, upstream.Ref("team/app:1"), "")
	before := storedImage(t, name)
	victim.imports(t, upstream.Ref("team/app:1"), "")
	if after := storedImage(t, name); after.ResourceVersion != before.ResourceVersion {
		t.Errorf("importing the same again wrote the image: %s", cmp.Diff(before, after))
	}
	if err := env.Images.ImageV1().Images().Delete(t.Context(), name, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	attacker.maps(t, attack(name))
	victim.sees(t, "imported", name, false, "")
	victim.imports(t, upstream.Ref("team/app:1"), "")
	victim.sees(t, "imported", name, false, "arm64")
	wantTrue(t, name, "arm64")
}

func TestClaimIsShownToItsStreamAlone(t *testing.T) {
	attacker, victim := newEditor(t), newEditor(t)
	name := digestOf(t, "image")
	attacker.maps(t, attack(name))
	before := storedImage(t, name)
	victim.maps(t, plainImage(name))
	victim.sees(t, "mapped", name, false, "")
	body := string(victim.get(t, "imagestreamimages/s@"+name).body)
	if want := plainImage(name).DockerImageReference; !strings.Contains(body, want) || strings.Contains(body, claimMark) {
		t.Errorf("an image that another stream claims is not shown with the reference %s: %s", want, body)
	}
	attacker.sees(t, "mapped", name, true, "s390x")
	makeStream(t, attacker.namespace, "other")
	raw(t, attacker.config, http.MethodPost, inNamespace(attacker.namespace, "imagestreammappings"), mapping(t, "other", "mapped", plainImage(name))).wantCode(t, http.StatusCreated)
	if body := string(attacker.get(t, "imagestreamtags/other:mapped").wantCode(t, http.StatusOK).body); strings.Contains(body, evil) {
		t.Errorf("another stream of the same namespace shows the claim: %s", body)
	}
	if after := storedImage(t, name); after.ResourceVersion != before.ResourceVersion {
		t.Errorf("a mapping of another stream changed a claim: %s", cmp.Diff(before, after))
	}
}

// A text proves an image whoever sends it, and so corrects what others claimed.
func TestMappingWithItsTextIsNoClaim(t *testing.T) {
	attacker, victim := newEditor(t), newEditor(t)
	what := testimage.Image(t, "linux/arm64")
	name := testimage.Digest(t, what)
	attacker.maps(t, attack(name))
	victim.maps(t, told(t, what, true))
	victim.sees(t, "mapped", name, false, "arm64")
	wantTrue(t, name, "arm64")

	fresh := testimage.Image(t, "linux/arm64")
	victim.maps(t, told(t, fresh, false))
	wantTrue(t, testimage.Digest(t, fresh), "arm64")
	attacker.maps(t, attack(testimage.Digest(t, fresh)))
	wantTrue(t, testimage.Digest(t, fresh), "arm64")

	labelled := told(t, testimage.Image(t, "linux/arm64"), true)
	labelled.Labels = map[string]string{"a": "b"}
	victim.maps(t, labelled)
	if got := storedImage(t, labelled.Name).Annotations[claimMark]; got != victim.namespace+"/s" {
		t.Errorf("an image with a label is claimed by %q", got)
	}
}

// Registries tell of a push by a mapping, or by an Image when it has no tag.
func TestRegistriesCorrectImages(t *testing.T) {
	attacker, owner := newEditor(t), newEditor(t)
	for way, send := range map[string]func(t *testing.T, img *imagev1.Image){
		"mapping": func(t *testing.T, img *imagev1.Image) { push(t, owner.namespace, "s", "mapped", img) },
		"image": func(t *testing.T, img *imagev1.Image) {
			raw(t, env.Config, http.MethodPost, groupPath+"/images", encoded(t, img)).wantStatus(t, http.StatusConflict, metav1.StatusReasonAlreadyExists, "images", img.Name)
		},
	} {
		t.Run(way, func(t *testing.T) {
			what := testimage.Image(t, "linux/arm64")
			name := testimage.Digest(t, what)
			attacker.maps(t, attack(name))
			send(t, &imagev1.Image{ObjectMeta: metav1.ObjectMeta{Name: name}, DockerImageReference: "registry.example.com/app@" + name})
			if storedImage(t, name).Annotations[claimMark] == "" {
				t.Error("a mere name made a claim the truth")
			}
			verified := told(t, what, false)
			send(t, verified)
			img := wantTrue(t, name, "arm64")
			if img.DockerImageReference != verified.DockerImageReference || img.DockerImageManifest != "" {
				t.Errorf("reference %q, manifest %q", img.DockerImageReference, img.DockerImageManifest)
			}

			img.Annotations["by"], img.Labels = "administrator", map[string]string{"a": "b"}
			img, err := env.Images.ImageV1().Images().Update(t.Context(), img, metav1.UpdateOptions{})
			if err != nil {
				t.Fatal(err)
			}
			send(t, verified)
			if again := storedImage(t, name); again.ResourceVersion != img.ResourceVersion {
				t.Errorf("the same image again was written: %s", cmp.Diff(img, again))
			}
		})
	}
}

func TestCorrectionKeepsAnnotationsOfAdministrators(t *testing.T) {
	owner, what := newEditor(t), testimage.Image(t, "linux/arm64")
	name := testimage.Digest(t, what)
	wrong := plainImage(name)
	wrong.Annotations = map[string]string{"by": "administrator"}
	storeImageOf(t, wrong)
	push(t, owner.namespace, "s", "mapped", told(t, what, false))
	if img := wantTrue(t, name, "arm64"); img.Annotations["by"] != "administrator" || img.DockerImageReference != wrong.DockerImageReference {
		t.Errorf("annotations %v, reference %q", img.Annotations, img.DockerImageReference)
	}
}

func TestOnlyTheServerMarksClaims(t *testing.T) {
	attacker := newEditor(t)
	claimed, plain := digestOf(t, "claimed"), plainImage(digestOf(t, "plain"))
	attacker.maps(t, attack(claimed))
	plain.Annotations = map[string]string{claimMark: "a/b"}
	if stored := storeImageOf(t, plain); stored.Annotations[claimMark] != "" {
		t.Errorf("a client marked a new image: %v", stored.Annotations)
	}
	for name, want := range map[string]string{claimed: attacker.namespace + "/s", plain.Name: ""} {
		for _, value := range []string{`null`, `"a/c"`} {
			raw(t, env.Config, http.MethodPatch, groupPath+"/images/"+name, `{"metadata":{"labels":{"changed":"yes"},"annotations":{"weir.dev/claimed-by":`+value+`}}}`,
				"Content-Type", "application/merge-patch+json").wantCode(t, http.StatusOK)
			if got := storedImage(t, name).Annotations[claimMark]; got != want {
				t.Errorf("%s is claimed by %q after setting %s, want %q", name, got, value, want)
			}
		}
	}
}

func TestRefusedMappingLeavesNoImage(t *testing.T) {
	user := newEditor(t)
	post := func(t *testing.T, config *rest.Config, stream, query string, img *imagev1.Image) reply {
		return raw(t, config, http.MethodPost, inNamespace(user.namespace, "imagestreammappings")+query, mapping(t, stream, "latest", img))
	}
	for what, test := range map[string]struct {
		config *rest.Config
		stream string
		query  string
		code   int
	}{
		"no right":  {env.As("nobody"), "s", "", http.StatusForbidden},
		"no stream": {user.config, "missing", "", http.StatusNotFound},
		"dry run":   {user.config, "s", "?dryRun=All", http.StatusCreated},
	} {
		t.Run(what, func(t *testing.T) {
			img := plainImage(digestOf(t, what))
			if r := post(t, test.config, test.stream, test.query, img); r.code != test.code {
				t.Errorf("answered %d, want %d: %s", r.code, test.code, r.body)
			}
			wantNoImage(t, img.Name)
		})
	}
	user.maps(t, plainImage(digestOf(t, "first")))
	second := plainImage(digestOf(t, "second"))
	limit(t, user.namespace, imagev1.LimitTypeImageStream, imagev1.ResourceImageStreamImages, "1", func() error {
		if r := post(t, user.config, "s", "?dryRun=All", second); r.code != http.StatusUnprocessableEntity {
			return fmt.Errorf("answered %d: %s", r.code, r.body)
		}
		return nil
	})
	for who, config := range map[string]*rest.Config{"editor": user.config, "administrator": env.Config} {
		if r := post(t, config, "s", "", second); r.code != http.StatusUnprocessableEntity {
			t.Errorf("%s: answered %d: %s", who, r.code, r.body)
		}
		wantNoImage(t, second.Name)
	}
}

func TestMappingsThatLoseARaceLeaveNoClaim(t *testing.T) {
	user := newEditor(t)
	user.maps(t, plainImage(digestOf(t, "first")))
	const writers = 16
	replies := make([]reply, writers)
	var group sync.WaitGroup
	for i := range writers {
		img := plainImage(digestOf(t, fmt.Sprint(i)))
		group.Go(func() {
			replies[i] = raw(t, user.config, http.MethodPost, inNamespace(user.namespace, "imagestreammappings"), mapping(t, "s", "mapped", img))
		})
	}
	group.Wait()
	for i, r := range replies {
		name := digestOf(t, fmt.Sprint(i))
		if r.code == http.StatusCreated {
			storedImage(t, name)
			continue
		}
		r.wantStatus(t, http.StatusConflict, metav1.StatusReasonConflict, "imagestreammappings", "s")
		wantNoImage(t, name)
	}
}
