package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"time"

	imagev1 "github.com/openshift/api/image/v1"
	"golang.org/x/time/rate"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// shape is what an image consists of.
type shape struct {
	name   string
	layers int
	size   int // of each layer, in bytes
}

var shapes = []shape{
	{"one layer of 100 MB", 1, blobSize},
	{"ten layers of 10 MB", 10, blobSize / 10},
}

// linkSpeed is that of the link to an upstream that is not on this machine, in bytes a
// second: 1 Gbit/s.
const linkSpeed = 125_000_000

// linkQueue is how much a link makes up for when this process was not there to carry it,
// in bytes, 8 ms of it. Without that the link would be the slower, the more the machine
// has to do beside, and so it would be slower for whoever is measured than for the floor.
const linkQueue = 1 << 20

// measurePullThrough compares pulls of images that another registry has, through Weir,
// which has never seen them or has mirrored them, with pulls from that registry itself:
// over the loopback, and over a link of 1 Gbit/s.
func measurePullThrough(ctx context.Context, r *report) error {
	servers, err := startRegistries(ctx)
	if err != nil {
		return err
	}
	defer servers.stop()
	link, err := startLink(ctx, servers.peer.base[len("http://"):])
	if err != nil {
		return err
	}
	defer link.Close()
	far := &peer{name: "distribution behind a link", base: "http://" + link.Addr().String()}
	for _, s := range shapes {
		for _, clients := range concurrencies {
			if err := comparePullThrough(ctx, r, servers, servers.peer, "the loopback", s, clients, 5); err != nil {
				return err
			}
		}
		for _, clients := range concurrencies[:2] {
			if err := comparePullThrough(ctx, r, servers, far, "1 Gbit/s", s, clients, 3); err != nil {
				return err
			}
		}
	}
	return nil
}

// comparePullThrough times pulls of an image by a number of clients at once. Each round
// has an image of its own, imported before.
func comparePullThrough(ctx context.Context, r *report, servers *registries, upstream *peer, over string, s shape, clients, rounds int) error {
	var image picture
	var stream string
	pull := func(p *peer, repository func() string) func(int) (float64, error) {
		return func(int) (float64, error) {
			took, err := parallel(clients, clients, func(int) error { return p.pull(ctx, repository(), "1", image) })
			return took.Seconds(), err
		}
	}
	direct := pull(upstream, func() string { return "outside/" + stream })
	through := pull(servers.weirPeer, func() string { return "bench/" + stream })
	prepared := func(round int) (float64, error) {
		var err error
		if image, err = newPicture(newLayers(s.layers, s.size)); err != nil {
			return 0, err
		}
		stream = fmt.Sprintf("through%d-%d-%d-%d", s.layers, clients, rounds, round)
		if err := servers.peer.push(ctx, "outside/"+stream, "1", image); err != nil {
			return 0, err
		}
		if err := servers.weir.importTag(ctx, stream, upstream.base[len("http://"):]+"/outside/"+stream+":1"); err != nil {
			return 0, err
		}
		return direct(round)
	}
	figures, err := inTurn(rounds, prepared, through, through)
	if err != nil {
		return err
	}
	for i, state := range []string{"cold", "warm"} {
		r.add(fmt.Sprintf("pull-through over %s of an image of %s, %s, concurrency %d", over, s.name, state, clients),
			fmt.Sprintf("%.0f ms", 1000*median(figures[i+1])), fmt.Sprintf("%.0f ms (direct pull)", 1000*median(figures[0])), ratios(figures[i+1], figures[0]), "≤ 1.1×")
	}
	return nil
}

// importTag makes a stream whose tag 1 is an image of another registry.
func (w *weir) importTag(ctx context.Context, stream, pullSpec string) error {
	done, err := w.images.ImageV1().ImageStreamImports("bench").Create(ctx, &imagev1.ImageStreamImport{
		ObjectMeta: metav1.ObjectMeta{Name: stream},
		Spec: imagev1.ImageStreamImportSpec{Import: true, Images: []imagev1.ImageImportSpec{{
			From:         corev1.ObjectReference{Kind: "DockerImage", Name: pullSpec},
			To:           &corev1.LocalObjectReference{Name: "1"},
			ImportPolicy: imagev1.TagImportPolicy{Insecure: true},
		}}},
	}, metav1.CreateOptions{})
	if err == nil && (len(done.Status.Images) != 1 || done.Status.Images[0].Status.Status != metav1.StatusSuccess) {
		err = fmt.Errorf("importing %s: %+v", pullSpec, done.Status)
	}
	return err
}

// startLink serves another address, all of whose answers share the speed of one link.
func startLink(ctx context.Context, address string) (net.Listener, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	const piece = 64 << 10
	speed := rate.NewLimiter(linkSpeed, linkQueue)
	go func() {
		for {
			near, err := listener.Accept()
			if err != nil {
				return // closed
			}
			go carry(ctx, near, address, speed, piece)
		}
	}()
	return listener, nil
}

// carry connects a client with an address, whose answers come as fast as the link lets
// them.
func carry(ctx context.Context, near net.Conn, address string, speed *rate.Limiter, piece int) {
	defer near.Close()
	far, err := (&net.Dialer{Timeout: 10 * time.Second}).DialContext(ctx, "tcp", address)
	if err != nil {
		return
	}
	defer far.Close()
	go func() {
		_, _ = io.Copy(far, near)
		_ = far.Close()
	}()
	buffer := make([]byte, piece)
	for {
		n, err := far.Read(buffer)
		if n > 0 {
			if speed.WaitN(ctx, n) != nil {
				return
			}
			if _, err := near.Write(buffer[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}
