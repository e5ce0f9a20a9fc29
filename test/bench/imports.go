package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	imagev1 "github.com/openshift/api/image/v1"
	clientv3 "go.etcd.io/etcd/client/v3"
	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const (
	importTags   = 50
	importRounds = 15
	// importWrites and importedBytes are what an import stores: an Image of about that size for
	// each tag, and the stream.
	importWrites  = importTags + 1
	importedBytes = 1500
	// importWriters is how many are written at a time.
	importWriters = 32
)

// measureImports compares the import of a repository of 50 tags with its floor: a loop that
// only fetches the same manifests and configs, over connections of its own, and as many
// transactions of the same etcd as the import makes.
func measureImports(ctx context.Context, r *report) error {
	w, err := startWeir(ctx, "none", "")
	if err != nil {
		return err
	}
	defer w.stop()
	u := startUpstream()
	defer u.Close()
	store, err := w.etcd()
	if err != nil {
		return err
	}
	defer store.Close()
	if err := w.namespace(ctx, "bench"); err != nil {
		return err
	}
	for _, delay := range []time.Duration{0, 50 * time.Millisecond} {
		var weirTimes, loopTimes []time.Duration
		for round := range importRounds + 1 {
			u.delay.Store(0)
			repository := fmt.Sprintf("bench/r%d-%d", delay.Milliseconds(), round)
			if err := u.push(repository, importTags); err != nil {
				return err
			}
			u.delay.Store(int64(delay))
			loop, err := timed(func() error {
				if err := u.bareLoop(ctx, repository); err != nil {
					return err
				}
				return bareWrites(ctx, store, "/bench/"+repository)
			})
			if err != nil {
				return err
			}
			took, err := w.importRepository(ctx, u.host()+"/"+repository, fmt.Sprintf("s%d-%d", delay.Milliseconds(), round))
			if err != nil {
				return err
			}
			if round > 0 { // the first warms both up
				weirTimes, loopTimes = append(weirTimes, took), append(loopTimes, loop)
			}
		}
		r.add(fmt.Sprintf("import of a repository of %d tags, upstream latency %s", importTags, delay),
			millis(median(weirTimes)), millis(median(loopTimes))+" (bare loop, 10 at a time, and 51 etcd transactions)", ratios(seconds(weirTimes), seconds(loopTimes)), "≤ 1.3×")
	}
	return nil
}

// bareWrites makes the transactions of an import: those of its Images, several at a time, and then
// that of its stream.
func bareWrites(ctx context.Context, store *clientv3.Client, prefix string) error {
	value := strings.Repeat("x", importedBytes)
	put := func(i int) error {
		key := fmt.Sprintf("%s/%d", prefix, i)
		_, err := store.Txn(ctx).If(clientv3.Compare(clientv3.ModRevision(key), "=", 0)).Then(clientv3.OpPut(key, value)).Commit()
		return err
	}
	var writes errgroup.Group
	writes.SetLimit(importWriters)
	for i := range importWrites - 1 {
		writes.Go(func() error { return put(i) })
	}
	if err := writes.Wait(); err != nil {
		return err
	}
	return put(importWrites - 1)
}

// importRepository is the time from the request to the last byte of its answer.
func (w *weir) importRepository(ctx context.Context, repository, stream string) (time.Duration, error) {
	request, err := json.Marshal(&imagev1.ImageStreamImport{
		TypeMeta:   metav1.TypeMeta{Kind: "ImageStreamImport", APIVersion: imagev1.GroupVersion.String()},
		ObjectMeta: metav1.ObjectMeta{Name: stream},
		Spec: imagev1.ImageStreamImportSpec{Import: true, Repository: &imagev1.RepositoryImportSpec{
			From:         corev1.ObjectReference{Kind: "DockerImage", Name: repository},
			ImportPolicy: imagev1.TagImportPolicy{Insecure: true},
		}},
	})
	if err != nil {
		return 0, err
	}
	var answer []byte
	took, err := timed(func() error {
		answer, err = w.post(ctx, "/apis/image.openshift.io/v1/namespaces/bench/imagestreamimports", request)
		return err
	})
	if err != nil {
		return 0, err
	}
	var isi imagev1.ImageStreamImport
	if err := json.Unmarshal(answer, &isi); err != nil {
		return 0, err
	}
	if status := isi.Status.Repository; status == nil || status.Status.Status != metav1.StatusSuccess || len(status.Images) != importTags {
		return 0, fmt.Errorf("importing %s: %s", repository, tail(string(answer)))
	}
	return took, nil
}
