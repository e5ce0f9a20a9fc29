package chaos_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	imagev1 "github.com/openshift/api/image/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"weir.dev/weir/internal/testenv"
	"weir.dev/weir/internal/testenv/testimage"
)

// outage is how long etcd is gone.
const outage = 10 * time.Second

// answered are the requests of an outage that got a success.
type answered struct {
	mu     sync.Mutex
	writes []string
}

// TestEtcdGoneForAWhile kills etcd under a server that is used, and starts it again.
func TestEtcdGoneForAWhile(t *testing.T) {
	t.Parallel()
	e := startEtcd(t)
	env := testenv.Start(t, withConfig(t, hastyConfig), e.use)
	ns, upstream := env.Namespace(t, "outage"), testenv.NewRegistry(t)
	image := upstream.Push(t, "team/app:1", testimage.Image(t, "linux/amd64"))
	makeStream(t, env, ns, "before", pullTag("t", upstream.Ref("team/app:1")))
	waitHead(t, env, ns, "before", "t", image)

	e.kill(t)
	ctx, cancel := context.WithTimeout(t.Context(), outage)
	defer cancel()
	acked := useDuring(ctx, t, env, ns, upstream)
	testenv.Eventually(t, "/readyz to tell", func() error {
		body, code := readyz(t, env)
		if code != http.StatusInternalServerError || !contains(body, "[-]etcd") {
			return fmt.Errorf("it says %d %s", code, body)
		}
		return nil
	})
	<-ctx.Done()
	e.start(t)

	begin := time.Now()
	testenv.Eventually(t, "the server to be ready again", func() error {
		if body, code := readyz(t, env); code != http.StatusOK {
			return fmt.Errorf("it says %d %s", code, body)
		}
		return nil
	})
	testenv.Eventually(t, "writes to work again", func() error {
		_, err := env.Images.ImageV1().ImageStreams(ns).Create(t.Context(), &imagev1.ImageStream{
			ObjectMeta: metav1.ObjectMeta{Name: "after"}, Spec: imagev1.ImageStreamSpec{Tags: []imagev1.TagReference{pullTag("t", upstream.Ref("team/app:1"))}},
		}, metav1.CreateOptions{})
		if apierrors.IsAlreadyExists(err) {
			return nil // an earlier try got further than its answer
		}
		return err
	})
	waitHead(t, env, ns, "after", "t", image)
	t.Logf("after %s everything worked", time.Since(begin))
	waitHead(t, env, ns, "before", "t", image)
	acked().check(t, env, ns)
	if _, err := env.Images.ImageV1().ImageStreamImports(ns).Create(t.Context(), importOf("after", imageImport("u", upstream.Ref("team/app:1"))), metav1.CreateOptions{}); err != nil {
		t.Errorf("an import after the outage: %v", err)
	}
	if err := env.Kube.CoreV1().Namespaces().Delete(t.Context(), ns, metav1.DeleteOptions{}); err != nil {
		t.Errorf("the controllers of the host get work again: %v", err)
	}
	testenv.Eventually(t, "the namespace to be gone", func() error {
		_, err := env.Kube.CoreV1().Namespaces().Get(t.Context(), ns, metav1.GetOptions{})
		if !apierrors.IsNotFound(err) {
			return fmt.Errorf("it is there: %v", err)
		}
		return nil
	})
}

// check looks for what was acknowledged.
func (a *answered) check(t *testing.T, env *testenv.Env, ns string) {
	t.Helper()
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, name := range a.writes {
		if _, err := env.Images.ImageV1().ImageStreams(ns).Get(t.Context(), name, metav1.GetOptions{}); err != nil {
			t.Errorf("acknowledged during the outage: %v", err)
		}
	}
}

// useDuring uses the server until ctx ends; each answer is to come within a bound and
// be a success or say clearly that it is none. The result waits for the users to end.
func useDuring(ctx context.Context, t *testing.T, env *testenv.Env, ns string, upstream *testenv.Registry) func() *answered {
	t.Helper()
	api, acked := env.Images.ImageV1(), &answered{}
	var users sync.WaitGroup
	use := func(what string, request func(context.Context, int) error) {
		users.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				bounded, cancel := context.WithTimeout(t.Context(), 90*time.Second)
				err := request(bounded, n)
				cancel()
				var status apierrors.APIStatus
				if err != nil && (!errors.As(err, &status) || status.Status().Code < 500) {
					t.Errorf("%s during the outage: %v", what, err)
				}
			}
		})
	}
	use("creating", func(ctx context.Context, n int) error {
		name := "during-" + strconv.Itoa(n)
		_, err := api.ImageStreams(ns).Create(ctx, &imagev1.ImageStream{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{})
		if err == nil {
			acked.mu.Lock()
			acked.writes = append(acked.writes, name)
			acked.mu.Unlock()
		}
		return err
	})
	use("importing", func(ctx context.Context, _ int) error {
		_, err := api.ImageStreamImports(ns).Create(ctx, importOf("before", imageImport("u", upstream.Ref("team/app:1"))), metav1.CreateOptions{})
		return err
	})
	use("reading", func(ctx context.Context, _ int) error {
		_, err := api.ImageStreams(ns).Get(ctx, "before", metav1.GetOptions{})
		return err
	})
	return func() *answered {
		users.Wait()
		return acked
	}
}

func readyz(t *testing.T, env *testenv.Env) (string, int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	var code int
	result := env.Kube.Discovery().RESTClient().Get().AbsPath("/readyz").Param("verbose", "1").Do(ctx)
	body, err := result.StatusCode(&code).Raw()
	if err != nil && len(body) == 0 {
		body = []byte(err.Error())
	}
	return strings.TrimSpace(string(body)), code
}
