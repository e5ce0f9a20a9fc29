package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
)

const (
	blobSize   = 100 << 20
	blobRounds = 5
	blobPulls  = 8 // in a round, and at least one for each client
)

// measureBlobs compares pulls of a blob of 100 MB with GETs of a file as large from a
// server of plain files, and with distribution's registry. All of them have it in the
// page cache.
func measureBlobs(ctx context.Context, r *report) error {
	servers, err := startRegistries(ctx)
	if err != nil {
		return err
	}
	defer servers.stop()
	if servers.files, servers.filesPeer, err = startFiles(ctx); err != nil {
		return err
	}
	image, err := newPicture(newLayers(1, blobSize))
	if err != nil {
		return err
	}
	blob := image.layers[0]
	if err := os.WriteFile(filepath.Join(servers.files.dir, "blob"), blob.content, 0o600); err != nil {
		return err
	}
	for _, p := range []*peer{servers.weirPeer, servers.peer} {
		if err := p.push(ctx, "bench/blobs", "1", image); err != nil {
			return err
		}
	}
	pull := func(p *peer, path string, clients int) func(int) (float64, error) {
		return func(int) (float64, error) {
			pulls := max(clients, blobPulls)
			took, err := parallel(clients, pulls, func(int) error {
				got, err := p.ask(ctx, http.MethodGet, path, "bench/blobs", "", nil, http.StatusOK)
				if err == nil && got.bytes != blobSize {
					err = fmt.Errorf("%s served %d bytes of %d", p.name, got.bytes, blobSize)
				}
				return err
			})
			return float64(pulls) * blobSize / took.Seconds(), err
		}
	}
	path := "/v2/bench/blobs/blobs/" + blob.digest.String()
	for _, clients := range concurrencies {
		figures, err := inTurn(blobRounds, pull(servers.weirPeer, path, clients), pull(servers.filesPeer, "/blob", clients), pull(servers.peer, path, clients))
		if err != nil {
			return err
		}
		ours, files, theirs := figures[0], figures[1], figures[2]
		what := fmt.Sprintf("pull of a blob of 100 MB, concurrency %d", clients)
		r.add(what, bytesPerSecond(median(ours)), bytesPerSecond(median(files))+" (static files)", ratios(ours, files), "≥ 0.8×")
		r.add(what, bytesPerSecond(median(ours)), bytesPerSecond(median(theirs))+" (distribution)", ratios(ours, theirs), "≥ 1×")
	}
	return nil
}
