package main

import (
	"context"
	"fmt"
	"net/http"
	"time"
)

const (
	manifestRounds   = 5
	manifestDuration = time.Second
)

// measureManifests compares how many manifests a second are served, by tag and by
// digest. Weir asks for a token and what it allows, which its clients show with each
// request; distribution is open to everybody.
func measureManifests(ctx context.Context, r *report) error {
	servers, err := startRegistries(ctx)
	if err != nil {
		return err
	}
	defer servers.stop()
	image, err := newPicture(newLayers(10, 1000))
	if err != nil {
		return err
	}
	for _, p := range []*peer{servers.weirPeer, servers.peer} {
		if err := p.push(ctx, "bench/web", "v1", image); err != nil {
			return err
		}
	}
	for _, by := range []struct{ name, reference string }{{"tag", "v1"}, {"digest", image.manifest.digest.String()}} {
		for _, method := range []string{http.MethodGet, http.MethodHead} {
			for _, clients := range concurrencies {
				if err := compareManifests(ctx, r, servers, method, by.name, by.reference, clients); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func compareManifests(ctx context.Context, r *report, servers *registries, method, name, reference string, clients int) error {
	ask := func(p *peer) func(int) (float64, error) {
		return func(int) (float64, error) {
			return throughput(ctx, clients, manifestDuration, func(ctx context.Context) error {
				_, err := p.ask(ctx, method, "/v2/bench/web/manifests/"+reference, "bench/web", "", nil, http.StatusOK)
				return err
			})
		}
	}
	figures, err := inTurn(manifestRounds, ask(servers.weirPeer), ask(servers.peer))
	if err != nil {
		return err
	}
	aim := "≥ 1×"
	if clients == 1 {
		aim = "≥ 2×"
	}
	r.add(fmt.Sprintf("%s of a manifest by %s, concurrency %d", method, name, clients),
		perSecond(median(figures[0])), perSecond(median(figures[1]))+" (distribution, without logins)", ratios(figures[0], figures[1]), aim)
	return nil
}
