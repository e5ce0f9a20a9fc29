package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"weir.dev/weir/internal/auth/roles"
)

// concurrencies are how many clients ask at a time.
var concurrencies = []int{1, 8, 64}

// registries are the servers of a part: a Weir, and what it is compared with.
type registries struct {
	weir         *weir
	weirPeer     *peer
	distribution *process
	peer         *peer // of distribution
	files        *process
	filesPeer    *peer
}

// startRegistries starts a Weir whose namespace "bench" a client may push to, and
// distribution's registry.
func startRegistries(ctx context.Context) (*registries, error) {
	r := &registries{}
	var err error
	if r.distribution, r.peer, err = startDistribution(ctx); err != nil {
		return nil, err
	}
	if r.weir, err = startWeir(ctx, "none", ""); err != nil {
		r.stop()
		return nil, err
	}
	if r.weirPeer, err = r.weir.peer(ctx); err != nil {
		r.stop()
		return nil, err
	}
	return r, nil
}

func (r *registries) stop() {
	if r.weir != nil {
		r.weir.stop()
	}
	for _, p := range []*process{r.distribution, r.files} {
		if p != nil {
			p.stop()
		}
	}
}

// peer is Weir's registry as a service account sees it that may push to the namespace
// "bench", which it makes.
func (w *weir) peer(ctx context.Context) (*peer, error) {
	address, err := os.ReadFile(filepath.Join(w.dir, registryFile))
	if err != nil || len(address) == 0 {
		return nil, fmt.Errorf("the Weir serves no registry: %w", err)
	}
	if err := w.namespace(ctx, "bench"); err != nil {
		return nil, err
	}
	accounts := w.kube.CoreV1().ServiceAccounts("bench")
	_, err = accounts.Create(ctx, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "pusher"}}, metav1.CreateOptions{})
	_, bindErr := w.kube.RbacV1().RoleBindings("bench").Create(ctx, &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "pusher"},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: roles.RegistryEditor},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: "bench", Name: "pusher"}},
	}, metav1.CreateOptions{})
	if err := errors.Join(err, bindErr); err != nil {
		return nil, err
	}
	token, err := accounts.CreateToken(ctx, "pusher", &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
	if err != nil {
		return nil, err
	}
	return &peer{name: "Weir", base: "http://" + string(address), user: "pusher", password: token.Status.Token}, nil
}

// inTurn measures sides one after the other, round by round, and returns the figures of
// each. A round before the first warms up and does not count.
func inTurn(rounds int, sides ...func(round int) (float64, error)) ([][]float64, error) {
	figures := make([][]float64, len(sides))
	for round := range rounds + 1 {
		for i, side := range sides {
			got, err := side(round)
			if err != nil {
				return nil, err
			}
			if round > 0 {
				figures[i] = append(figures[i], got)
			}
		}
	}
	return figures, nil
}

// bytesPerSecond prints a rate.
func bytesPerSecond(n float64) string {
	if n < 1e9 {
		return fmt.Sprintf("%.0f MB/s", n/1e6)
	}
	return fmt.Sprintf("%.2f GB/s", n/1e9)
}
