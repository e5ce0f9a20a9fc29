package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"golang.org/x/sync/errgroup"
)

// upstream is a registry in this process that answers after a delay.
type upstream struct {
	*httptest.Server
	delay atomic.Int64 // a time.Duration
	heads atomic.Int64
	gets  atomic.Int64
}

func startUpstream() *upstream {
	u := &upstream{}
	content := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	u.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		time.Sleep(time.Duration(u.delay.Load()))
		if strings.Contains(r.URL.Path, "/manifests/") {
			switch r.Method {
			case http.MethodHead:
				u.heads.Add(1)
			case http.MethodGet:
				u.gets.Add(1)
			}
		}
		content.ServeHTTP(w, r)
	}))
	return u
}

func (u *upstream) host() string { return strings.TrimPrefix(u.URL, "http://") }

// push makes a repository with n tags of n different images that share a layer.
func (u *upstream) push(repository string, n int) error {
	base, err := random.Image(1024, 1)
	if err != nil {
		return err
	}
	for i := range n {
		img, err := variant(base, i)
		if err != nil {
			return err
		}
		ref, err := name.ParseReference(fmt.Sprintf("%s/%s:v%d", u.host(), repository, i))
		if err != nil {
			return err
		}
		if err := remote.Write(ref, img); err != nil {
			return fmt.Errorf("pushing %s: %w", ref, err)
		}
	}
	return nil
}

func variant(base v1.Image, i int) (v1.Image, error) {
	return mutate.Config(base, v1.Config{Env: []string{fmt.Sprintf("VARIANT=%d", i)}, Labels: map[string]string{"i": fmt.Sprint(i)}})
}

// bareLoop fetches the manifests and configs of a repository's tags, ten at a
// time, and does nothing with them: the floor of an import.
func (u *upstream) bareLoop(ctx context.Context, repository string) error {
	repo, err := name.NewRepository(u.host() + "/" + repository)
	if err != nil {
		return err
	}
	puller, err := remote.NewPuller()
	if err != nil {
		return err
	}
	tags, err := puller.List(ctx, repo)
	if err != nil {
		return err
	}
	var fetches errgroup.Group
	fetches.SetLimit(10)
	for _, tag := range tags {
		fetches.Go(func() error {
			got, err := puller.Get(ctx, repo.Tag(tag))
			if err != nil {
				return err
			}
			img, err := got.Image()
			if err != nil {
				return err
			}
			_, err = img.RawConfigFile()
			return err
		})
	}
	return fetches.Wait()
}
