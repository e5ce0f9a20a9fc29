package backup

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"go.etcd.io/etcd/etcdutl/v3/snapshot"
	"go.uber.org/zap"

	"weir.dev/weir/internal/etcd"
)

// revisionBump is added to etcd's revision on restore, so that clients that watch from a revision
// after the backup list again, and no revision has two states. It suffices for a thousand writes a
// second during the eleven days after the backup.
const revisionBump = 1_000_000_000

// RestoreOptions configure Restore.
type RestoreOptions struct {
	// Folder is the backup.
	Folder string
	// DataDir becomes the data folder. It must not exist or be empty.
	DataDir string
	// Registry becomes the folder of the registry's storage; "" if that is an object store,
	// which is restored separately.
	Registry string
	// ExternalEtcd skips etcd, which is restored with etcd's tools.
	ExternalEtcd bool
}

// Restore creates a data folder from a backup.
func Restore(ctx context.Context, o RestoreOptions) error {
	saved, err := readInfo(o.Folder)
	if err != nil {
		return err
	}
	switch {
	case o.Registry != "" && !saved.Registry:
		return fmt.Errorf("the backup %s has no files of the registry, whose storage was elsewhere: configure the same storage (--config)", o.Folder)
	case o.Registry == "" && saved.Registry:
		return fmt.Errorf("the backup %s has files of the registry, but its storage is configured elsewhere (--config)", o.Folder)
	}
	to, err := build(o.DataDir)
	if err != nil {
		return fmt.Errorf("restoring the data folder: %w", err)
	}
	defer to.release()
	if err := (copier{}).tree(ctx, filepath.Join(o.Folder, keysName), to.path(keysName)); err != nil {
		return fmt.Errorf("restoring the keys: %w", err)
	}
	if !o.ExternalEtcd {
		if err := restoreEtcd(filepath.Join(o.Folder, etcdFile), to.path("etcd")); err != nil {
			return fmt.Errorf("restoring etcd: %w", err)
		}
	}
	if o.Registry == "" {
		return to.done()
	}
	registry, err := registryTarget(o, to)
	if err != nil {
		return fmt.Errorf("restoring the registry's storage: %w", err)
	}
	defer registry.release()
	if err := (copier{}).tree(ctx, filepath.Join(o.Folder, registryName), registry.building); err != nil {
		return fmt.Errorf("restoring the registry's storage: %w", err)
	}
	if registry.name != "" {
		if err := registry.done(); err != nil {
			return err
		}
	}
	return to.done()
}

// registryTarget returns the target of the registry's files: in the data folder, or a separate
// folder.
func registryTarget(o RestoreOptions, data target) (target, error) {
	inside, err := filepath.Rel(o.DataDir, o.Registry)
	if err == nil && filepath.IsLocal(inside) {
		return target{building: data.path(inside)}, nil
	}
	return build(o.Registry)
}

// restoreEtcd creates the folder of the embedded etcd from a snapshot.
func restoreEtcd(file, dir string) error {
	if _, err := os.Stat(file); errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("the backup has no file %s", etcdFile)
	}
	member := etcd.Member(dir)
	return snapshot.NewV3(zap.NewNop()).Restore(snapshot.RestoreConfig{
		SnapshotPath:        file,
		Name:                member.Name,
		OutputDataDir:       member.Dir,
		PeerURLs:            []string{member.PeerURL},
		InitialCluster:      member.Name + "=" + member.PeerURL,
		InitialClusterToken: member.Token,
		RevisionBump:        revisionBump,
		MarkCompacted:       true,
	})
}
