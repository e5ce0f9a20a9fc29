package blobstore

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"

	storagedriver "github.com/distribution/distribution/v3/registry/storage/driver"
)

// Walk visits all files of the store whose path is greater than after, in the order of their
// paths as byte strings. "" begins at the first file; the Path of an entry continues after
// it. Files that are not the store's are skipped. visit runs in the caller's goroutine; its
// error ends the walk and is returned unchanged.
//
// Files that are stored or deleted meanwhile may be visited or not, and a visited file may
// be gone. Object stores list an unfinished upload without its data.
//
// S3 is listed a thousand files at a time. On a plain filesystem each folder is read and each
// file is looked up once. The drivers of GCS and Azure need a request for each file.
func (s *Store) Walk(ctx context.Context, after string, visit func(Entry) error) error {
	return s.walk(ctx, rootFolder, after, visit)
}

// WalkBlobs is Walk for the folders of blobs alone: their data and the files beside it.
func (s *Store) WalkBlobs(ctx context.Context, after string, visit func(Entry) error) error {
	return s.walk(ctx, blobsFolder, after, visit)
}

// Repositories visits the names of the repositories that have a folder, empty or not, in
// their order as byte strings. It does not read their folders. An error of visit ends it
// and is returned unchanged.
func (s *Store) Repositories(ctx context.Context, visit func(name string) error) error {
	namespaces, err := s.list(ctx, repositoriesFolder)
	if err != nil {
		return err
	}
	// As part of a repository's name a namespace ends with a slash, which some of its
	// characters come before.
	slices.SortFunc(namespaces, func(a, b string) int { return cmp.Compare(a+"/", b+"/") })
	for _, namespace := range namespaces {
		if checkComponent(namespace) != nil {
			continue
		}
		if err := s.RepositoriesOf(ctx, namespace, visit); err != nil {
			return err
		}
	}
	return nil
}

// RepositoriesOf is Repositories for those of a namespace.
func (s *Store) RepositoriesOf(ctx context.Context, namespace string, visit func(name string) error) error {
	if err := checkComponent(namespace); err != nil {
		return err
	}
	streams, err := s.list(ctx, namespaceFolder(namespace))
	if err != nil {
		return err
	}
	for _, stream := range streams {
		if checkComponent(stream) != nil {
			continue
		}
		if err := visit(namespace + "/" + stream); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) walk(ctx context.Context, folder, after string, visit func(Entry) error) error {
	files := s.walkTree
	if s.driver.Name() == flatDriver {
		files = s.walkFlat
	}
	return files(ctx, folder, after, func(file storagedriver.FileInfo) error {
		e, ok := parseEntry(file.Path())
		if !ok {
			return nil
		}
		e.Size, e.ModTime = file.Size(), file.ModTime()
		return visit(e)
	})
}

// flatDriver is the driver whose Walk lists all files below a folder in the order of
// their paths. Walk of the others reads the metadata of each file, in another order, and
// fails when it is to continue after a file.
const flatDriver = "s3aws"

// walkFlat has the driver list.
func (s *Store) walkFlat(ctx context.Context, folder, after string, visit func(storagedriver.FileInfo) error) error {
	var ended error // the driver would wrap it
	err := s.driver.Walk(ctx, folder, func(file storagedriver.FileInfo) error {
		if file.IsDir() || file.Path() <= after {
			return nil
		}
		if ended = ctx.Err(); ended == nil {
			ended = visit(file)
		}
		if ended != nil {
			return storagedriver.ErrFilledBuffer
		}
		return nil
	}, storagedriver.WithStartAfterHint(after))
	if ended != nil {
		return ended
	}
	return failure(err, "walking through", folder)
}

// maxDepth bounds the depth of the store's files below its root. Deeper files are not its
// own.
const maxDepth = 8

// walkTree goes from folder to folder.
func (s *Store) walkTree(ctx context.Context, folder, after string, visit func(storagedriver.FileInfo) error) error {
	children, err := s.children(ctx, folder, after)
	if err != nil {
		return err
	}
	for _, child := range children {
		if err := ctx.Err(); err != nil {
			return err
		}
		path := child.Path()
		switch {
		case !child.IsDir() && path > after:
			err = visit(child)
		case child.IsDir() && strings.Count(path[len(rootFolder):], "/") < maxDepth:
			err = s.walkTree(ctx, path, after, visit)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// children are the files and folders in a folder, without those that have nothing after a
// path, in the order of the files' paths: a folder comes where its name with a slash does.
func (s *Store) children(ctx context.Context, folder, after string) ([]storagedriver.FileInfo, error) {
	found, err := s.readFolder(ctx, folder, after)
	if err != nil {
		return nil, err
	}
	slices.SortFunc(found, func(a, b storagedriver.FileInfo) int { return cmp.Compare(orderOf(a), orderOf(b)) })
	return found, nil
}

func orderOf(f storagedriver.FileInfo) string {
	if f.IsDir() {
		return f.Path() + "/"
	}
	return f.Path()
}

// passed reports whether a path, with everything below it if it is a folder, is not greater
// than after. "0" is the character that follows "/".
func passed(path, after string) bool { return path+"0" <= after }

// readFolder reads a folder of the disk once, and makes a request for each file with other
// drivers. A folder that is gone is empty.
func (s *Store) readFolder(ctx context.Context, folder, after string) ([]storagedriver.FileInfo, error) {
	if s.disk != nil {
		found, err := s.disk.ReadFolder(ctx, folder)
		if err = failure(err, "listing", folder); errors.Is(err, ErrUnknown) {
			return nil, nil
		}
		return slices.DeleteFunc(found, func(f storagedriver.FileInfo) bool { return passed(f.Path(), after) }), err
	}
	names, err := s.list(ctx, folder)
	if err != nil {
		return nil, err
	}
	var found []storagedriver.FileInfo
	for _, name := range names {
		path := folder + "/" + name
		if passed(path, after) || !storagedriver.PathRegexp.MatchString(path) {
			continue
		}
		info, err := s.driver.Stat(ctx, path)
		if err = failure(err, "looking for", path); errors.Is(err, ErrUnknown) {
			continue
		}
		if err != nil {
			return nil, err
		}
		found = append(found, info)
	}
	return found, nil
}
