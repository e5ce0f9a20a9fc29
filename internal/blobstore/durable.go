package blobstore

import (
	"context"
	"maps"
	"slices"
	"sync"

	"weir.dev/weir/internal/caches"
)

// maxPendingFolders bounds what a power cut can take from a client that pushes blobs and
// never a manifest.
const maxPendingFolders = 4096

// pendingFolders are folders of a plain filesystem with names that the disk may not have
// yet: those of blobs and links, until a manifest depends on them.
//
// Syncing two folders for every blob and two for every link would cost several times what
// its data does. Only a manifest makes anything depend on a blob, so its link waits for
// all of them.
type pendingFolders struct {
	mu      sync.Mutex
	folders map[string]struct{}
	added   uint64 // counts additions
	// done are folders of blobs that this process has synced, or found synced.
	done *caches.Cache[string, struct{}]

	syncing sync.Mutex // held by the one who syncs, for all who wait
	synced  uint64     // the value of added up to which all is on the disk
}

func (p *pendingFolders) init(pool *caches.Pool) {
	p.folders = map[string]struct{}{}
	p.done = caches.New(pool, caches.Options[string, struct{}]{
		Name: "blob_synced_folders", Bytes: syncedBytes, Idle: hintIdle,
		Cost: func(folder string, _ struct{}) int { return len(folder) },
	})
}

// changed takes note of a folder that got a name, or in which a name now stands for
// another file. It returns how many there are.
func (p *pendingFolders) changed(folder string) (size int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.done.Remove(folder)
	p.folders[folder] = struct{}{}
	p.added++
	return len(p.folders)
}

// needed takes note of a folder that something is about to depend on, from any process.
func (p *pendingFolders) needed(folder string) (size int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, done := p.done.Get(folder); !done {
		p.folders[folder] = struct{}{}
		p.added++
	}
	return len(p.folders)
}

// take returns all folders, and up to which addition that is.
func (p *pendingFolders) take() (folders []string, upTo uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	folders = slices.Collect(maps.Keys(p.folders))
	clear(p.folders)
	return folders, p.added
}

// sync returns when all that was noted before is on the disk. Of many callers one syncs
// for those who wait.
func (p *pendingFolders) sync(ctx context.Context, do func(ctx context.Context, folders ...string) error) error {
	p.mu.Lock()
	mine := p.added
	p.mu.Unlock()
	p.syncing.Lock()
	defer p.syncing.Unlock()
	if p.synced >= mine {
		return nil
	}
	folders, upTo := p.take()
	err := do(ctx, folders...)
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, folder := range folders {
		if _, again := p.folders[folder]; err != nil {
			p.folders[folder] = struct{}{}
		} else if !again {
			p.done.Add(folder, struct{}{})
		}
	}
	if err != nil {
		p.added++ // so that it does not count as synced
		return failure(err, "syncing", "the folders of blobs and links")
	}
	p.synced = upTo
	return nil
}

// changed takes note of a name that a folder got, or that now stands for another file. It
// is on the disk when lasting returns.
func (s *Store) changed(ctx context.Context, folder string) error {
	if s.disk == nil || s.pending.changed(folder) < maxPendingFolders {
		return nil
	}
	return s.lasting(ctx)
}

// needed takes note of a blob's folder that something is about to depend on. Another
// process may have made it a moment ago.
func (s *Store) needed(ctx context.Context, folder string) error {
	if s.disk == nil || s.pending.needed(folder) < maxPendingFolders {
		return nil
	}
	return s.lasting(ctx)
}

// lasting returns when a power cut takes nothing away of what was there before.
func (s *Store) lasting(ctx context.Context) error {
	if s.disk == nil {
		return nil
	}
	return s.pending.sync(ctx, s.disk.SyncFolders)
}

// move renames a file that is on the disk, over one that is there. Until the folder is
// synced, a power cut leaves the name with either file, whole; a manifest that depends on
// the new one waits for the folder as for a new name.
func (s *Store) move(ctx context.Context, from, to, toFolder string) error {
	if s.disk == nil {
		return failure(s.driver.Move(ctx, from, to), "moving "+from+" to", to)
	}
	if err := s.disk.MoveUnsynced(ctx, from, to); err != nil {
		return failure(err, "moving "+from+" to", to)
	}
	return s.changed(ctx, toFolder)
}
