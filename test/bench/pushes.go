package main

import (
	"context"
	"fmt"
)

// pushImages is how many images are pushed at each concurrency.
var pushImages = 1000

const (
	pushRounds       = 5
	pushRepositories = 20
	pushLayers       = 10
	pushShared       = 5 // of each image's layers, by all images
	pushLayerSize    = 100_000
)

// measurePushes compares how many images of ten layers are pushed a second. Half of the
// layers are shared by all images, which are spread over a number of repositories. A
// client pushes the blobs of an image one after the other.
func measurePushes(ctx context.Context, r *report) error {
	servers, err := startRegistries(ctx)
	if err != nil {
		return err
	}
	defer servers.stop()
	for _, clients := range concurrencies {
		shared := newLayers(pushShared, pushLayerSize)
		var images []picture
		push := func(p *peer, fresh bool) func(int) (float64, error) {
			return func(round int) (float64, error) {
				n := max(1, pushImages/pushRounds)
				if round == 0 {
					n = pushRepositories // the shared layers are everywhere then
				}
				if fresh {
					var err error
					if images, err = pictures(n, shared); err != nil {
						return 0, err
					}
				}
				took, err := parallel(clients, n, func(i int) error {
					return p.push(ctx, fmt.Sprintf("bench/push%d", i%pushRepositories), fmt.Sprintf("c%d-r%d-i%d", clients, round, i), images[i])
				})
				return float64(n) / took.Seconds(), err
			}
		}
		figures, err := inTurn(pushRounds, push(servers.weirPeer, true), push(servers.peer, false))
		if err != nil {
			return err
		}
		r.add(fmt.Sprintf("push of %d images of %d layers of 100 KB, half of them shared, concurrency %d", pushImages, pushLayers, clients),
			perSecond(median(figures[0])), perSecond(median(figures[1]))+" (distribution)", ratios(figures[0], figures[1]), "≥ 1×")
	}
	return nil
}

// pictures are images that share some layers.
func pictures(n int, shared []layer) ([]picture, error) {
	images := make([]picture, n)
	for i := range images {
		image, err := newPicture(append(newLayers(pushLayers-len(shared), pushLayerSize), shared...))
		if err != nil {
			return nil, err
		}
		images[i] = image
	}
	return images, nil
}
