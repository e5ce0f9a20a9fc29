package main

import (
	"context"
	"fmt"
	"net/http"
	"sync/atomic"
	"time"
)

const (
	trafficClients  = 64
	trafficDuration = 20 * time.Second
)

// traffic is what was moved, and the memory that the server had before and at most.
type traffic struct {
	idle, peak     int64 // bytes
	pushed, pulled int64 // images, blobs
}

// measureTraffic looks at the memory of the registries while many clients push an image
// and pull a blob of 100 MB, again and again.
func measureTraffic(ctx context.Context, r *report) error {
	servers, err := startRegistries(ctx)
	if err != nil {
		return err
	}
	defer servers.stop()
	ours, err := peakUnderTraffic(ctx, servers.weir.process, servers.weirPeer)
	if err != nil {
		return err
	}
	theirs, err := peakUnderTraffic(ctx, servers.distribution, servers.peer)
	if err != nil {
		return err
	}
	what := fmt.Sprintf("most resident memory while %d clients pull and push for %s", trafficClients, trafficDuration)
	r.add(what, ours.String(), theirs.String()+" (distribution)", fmt.Sprintf("%.2f×", float64(ours.peak)/float64(theirs.peak)), "–")
	return nil
}

// String is "430 MB, 190 MB of it before; 1200 images pushed, 300 blobs pulled".
func (t traffic) String() string {
	const mega = 1e6
	return fmt.Sprintf("%.0f MB, %.0f MB of it before; %d images pushed, %d blobs of 100 MB pulled", float64(t.peak)/mega, float64(t.idle)/mega, t.pushed, t.pulled)
}

func peakUnderTraffic(ctx context.Context, server *process, p *peer) (traffic, error) {
	before, err := server.memory()
	if err != nil {
		return traffic{}, err
	}
	if err := server.forgetPeak(); err != nil {
		return traffic{}, err
	}
	large, err := newPicture(newLayers(1, blobSize))
	if err != nil {
		return traffic{}, err
	}
	if err := p.push(ctx, "bench/large", "1", large); err != nil {
		return traffic{}, err
	}
	moved := traffic{idle: before.resident}
	if err := pullAndPush(ctx, p, large.layers[0], &moved); err != nil {
		return traffic{}, err
	}
	moved.peak, err = server.peak()
	return moved, err
}

// pullAndPush keeps all clients at work for a while and counts what they moved.
func pullAndPush(ctx context.Context, p *peer, large layer, moved *traffic) error {
	shared := newLayers(pushShared, pushLayerSize)
	end := time.Now().Add(trafficDuration)
	var pushed, pulled atomic.Int64
	_, err := parallel(trafficClients, trafficClients, func(client int) error {
		for i := 0; time.Now().Before(end); i++ {
			images, err := pictures(1, shared)
			if err != nil {
				return err
			}
			if err := p.push(ctx, fmt.Sprintf("bench/traffic%d", client), fmt.Sprintf("t%d", i), images[0]); err != nil {
				return err
			}
			pushed.Add(1)
			if _, err := p.ask(ctx, http.MethodGet, "/v2/bench/large/blobs/"+large.digest.String(), "bench/large", "", nil, http.StatusOK); err != nil {
				return err
			}
			pulled.Add(1)
		}
		return nil
	})
	moved.pushed, moved.pulled = pushed.Load(), pulled.Load()
	return err
}
