package backup

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"go.etcd.io/etcd/client/pkg/v3/transport"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/snapshot"
	"go.uber.org/zap"

	"weir.dev/weir/internal/etcd"
)

// dialTimeout bounds the wait for etcd.
const dialTimeout = 10 * time.Second

// linksFolder has the registry's links. They are copied before the blobs that they point to.
const linksFolder = "docker/registry/v2/repositories"

// SaveOptions configure Save.
type SaveOptions struct {
	// Folder is the backup. It must not exist or be empty.
	Folder string
	// Previous is an earlier backup, whose unchanged files are shared by hard links; "" for
	// none. It must be on the file system of Folder.
	Previous string
	// DataDir is the data folder.
	DataDir string
	// Registry is the folder of the registry's storage, "" if that is elsewhere.
	Registry string
	// Etcd is an external etcd; without an endpoint it is the embedded one of DataDir, which
	// must be running.
	Etcd Etcd
}

// Etcd is an etcd with its client certificate, as in the flags of `weir serve`.
type Etcd struct{ Endpoint, CAFile, CertFile, KeyFile string }

// Save creates a backup. It saves etcd first: content that the registry receives during the
// copy does no harm; content that is deleted meanwhile is missing in the backup.
func Save(ctx context.Context, o SaveOptions) error {
	if o.Previous != "" {
		if _, err := readInfo(o.Previous); err != nil {
			return fmt.Errorf("--previous: %w", err)
		}
	}
	to, err := build(o.Folder)
	if err != nil {
		return fmt.Errorf("making a backup: %w", err)
	}
	defer to.release()
	i := info{Version: infoVersion, Began: time.Now().UTC().Truncate(time.Second)}
	if err := saveEtcd(ctx, o, to.path(etcdFile)); err != nil {
		return fmt.Errorf("making a backup of etcd: %w", err)
	}
	if err := (copier{}).tree(ctx, filepath.Join(o.DataDir, keysName), to.path(keysName)); err != nil {
		return fmt.Errorf("making a backup of the keys: %w", err)
	}
	if o.Registry != "" {
		i.Registry = true
		if err := saveRegistry(ctx, o, to.path(registryName)); err != nil {
			return fmt.Errorf("making a backup of the registry's storage: %w", err)
		}
	}
	if err := writeInfo(to.path(infoFile), i); err != nil {
		return fmt.Errorf("making a backup: %w", err)
	}
	return to.done()
}

// saveEtcd writes a snapshot of etcd to a file.
func saveEtcd(ctx context.Context, o SaveOptions, file string) error {
	config := clientv3.Config{Endpoints: []string{o.Etcd.Endpoint}, DialTimeout: dialTimeout}
	if o.Etcd.Endpoint == "" {
		socket, err := etcd.Socket(filepath.Join(o.DataDir, "etcd"))
		if err != nil {
			return fmt.Errorf("%w: Weir must be running over %s; if it is stopped, copy the folder instead", err, o.DataDir)
		}
		config.Endpoints = []string{socket}
	}
	if o.Etcd.CAFile != "" || o.Etcd.CertFile != "" {
		tls, err := transport.TLSInfo{TrustedCAFile: o.Etcd.CAFile, CertFile: o.Etcd.CertFile, KeyFile: o.Etcd.KeyFile}.ClientConfig()
		if err != nil {
			return fmt.Errorf("reading the certificates for etcd: %w", err)
		}
		config.TLS = tls
	}
	_, err := snapshot.SaveWithVersion(ctx, zap.NewNop(), config, file)
	if err != nil {
		return fmt.Errorf("saving a snapshot of %s: %w", config.Endpoints[0], err)
	}
	return nil
}

// saveRegistry copies the registry's folder, links first: Weir stores data before it creates the
// link to it.
func saveRegistry(ctx context.Context, o SaveOptions, to string) error {
	root, err := filepath.EvalSymlinks(o.Registry)
	if err != nil {
		return err
	}
	c := copier{}
	if o.Previous != "" {
		c.previous = filepath.Join(o.Previous, registryName)
	}
	if err := os.MkdirAll(filepath.Join(to, linksFolder), 0o700); err != nil {
		return err
	}
	// Twice: before the links of a deleted stream are removed, streams with copies of its images
	// get links of their own, perhaps in folders that were copied already.
	for range 2 {
		if err := c.at(linksFolder).tree(ctx, filepath.Join(root, linksFolder), filepath.Join(to, linksFolder)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err // without any link there is no folder of them
		}
	}
	return c.without(linksFolder).tree(ctx, root, to)
}
