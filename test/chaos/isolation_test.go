package chaos_test

import (
	"fmt"
	"net/http"
	"strconv"
	"testing"
	"time"

	imagev1 "github.com/openshift/api/image/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"weir.dev/weir/internal/testenv"
	"weir.dev/weir/internal/testenv/testimage"
)

// TestBrokenHostHoldsNobodyUp has more streams wait for a host that never answers
// than the controller has workers, and imports from another one meanwhile.
func TestBrokenHostHoldsNobodyUp(t *testing.T) {
	env := testenv.Start(t) // with the time-outs that it has in the wild
	ns := env.Namespace(t, "slow")
	broken, sound := testenv.NewRegistry(t), testenv.NewRegistry(t)
	released := make(chan struct{})
	t.Cleanup(func() { close(released) })
	broken.Intercept(func(_ http.ResponseWriter, r *http.Request) bool {
		select {
		case <-released:
		case <-r.Context().Done():
		}
		return true
	})
	sound.Push(t, "team/app:1", testimage.Image(t, "linux/amd64"))
	sound.Push(t, "team/app:2", testimage.Image(t, "linux/amd64"))
	importTime := func(name, path string) time.Duration {
		begin := time.Now()
		makeStream(t, env, ns, name, pullTag("t", sound.Ref(path)))
		testenv.Eventually(t, "the import of "+name, func() error {
			s, err := env.Images.ImageV1().ImageStreams(ns).Get(t.Context(), name, metav1.GetOptions{})
			if err == nil && headOf(s, "t") == "" {
				err = fmt.Errorf("not imported: %+v", s.Status.Tags)
			}
			return err
		})
		return time.Since(begin)
	}
	alone := importTime("alone", "team/app:1")
	for i := range 60 {
		makeStream(t, env, ns, "broken-"+strconv.Itoa(i), pullTag("t", broken.Ref("team/app:"+strconv.Itoa(i))))
	}
	testenv.Eventually(t, "the broken registry to be asked", func() error {
		if broken.Count("GET ") == 0 {
			return fmt.Errorf("not yet")
		}
		return nil
	})
	beside := importTime("beside", "team/app:2")
	t.Logf("an import took %s alone and %s beside a broken registry", alone, beside)
	if beside > 5*alone+3*time.Second {
		t.Errorf("an import took %s beside a broken registry, %s alone", beside, alone)
	}
}

func makeStream(t *testing.T, env *testenv.Env, ns, name string, tags ...imagev1.TagReference) *imagev1.ImageStream {
	t.Helper()
	s, err := env.Images.ImageV1().ImageStreams(ns).Create(t.Context(), &imagev1.ImageStream{
		ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: imagev1.ImageStreamSpec{Tags: tags},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return s
}
