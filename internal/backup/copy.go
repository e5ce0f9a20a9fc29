package backup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// maxListings bounds how often a folder is listed again because its files move during the copy.
const maxListings = 100

// copier copies a folder that other processes write to. It preserves modes and times of files.
type copier struct {
	// previous is an earlier copy, whose files are hard-linked if size and time are equal.
	previous string
	// skip is a subfolder to leave out.
	skip string
}

// at returns the copier of a subfolder.
func (c copier) at(folder string) copier {
	if c.previous != "" {
		c.previous = filepath.Join(c.previous, folder)
	}
	return c
}

// without returns a copier that leaves out a folder.
func (c copier) without(folder string) copier {
	c.skip = filepath.FromSlash(folder)
	return c
}

// tree copies a folder. A file that disappears before it is copied may have been renamed within
// the folder, so tree lists the folder again until all files of a listing are copied.
func (c copier) tree(ctx context.Context, from, to string) error {
	stat, err := os.Stat(from)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(to, stat.Mode().Perm()|0o700); err != nil {
		return err
	}
	for range maxListings {
		again, err := c.folder(ctx, from, to)
		if err != nil || !again {
			return err
		}
	}
	return fmt.Errorf("copying %s: its files were renamed or removed each time in %d attempts", from, maxListings)
}

// folder copies the files of a listing that the copy lacks. again reports whether a file
// disappeared meanwhile.
func (c copier) folder(ctx context.Context, from, to string) (again bool, err error) {
	entries, err := os.ReadDir(from)
	if err != nil {
		return false, ignoreGone(err) // the folder itself was removed
	}
	for _, entry := range entries {
		if err := ctx.Err(); err != nil {
			return false, err
		}
		if entry.Name() == c.skip {
			continue
		}
		err := c.entry(ctx, entry, filepath.Join(from, entry.Name()), filepath.Join(to, entry.Name()))
		if errors.Is(err, fs.ErrNotExist) {
			again = true
		} else if err != nil {
			return false, err
		}
	}
	return again, nil
}

func (c copier) entry(ctx context.Context, entry fs.DirEntry, from, to string) error {
	switch {
	case entry.IsDir():
		below := c.at(entry.Name())
		below.skip = ""
		if first, rest, nested := cut(c.skip); nested && first == entry.Name() {
			below.skip = rest
		}
		return below.tree(ctx, from, to)
	case !entry.Type().IsRegular():
		return nil // a socket, or an operator's symbolic link
	case exists(to):
		return nil
	}
	return c.file(entry.Name(), from, to)
}

// file copies a file, or links that of the previous copy.
func (c copier) file(name, from, to string) (err error) {
	source, err := os.Open(from)
	if err != nil {
		return err
	}
	defer source.Close()
	stat, err := source.Stat()
	if err != nil {
		return err
	}
	if c.previous != "" && same(filepath.Join(c.previous, name), stat) && os.Link(filepath.Join(c.previous, name), to) == nil {
		return nil
	}
	target, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, stat.Mode().Perm())
	if err != nil {
		return err
	}
	_, err = io.Copy(target, source)
	if err = errors.Join(err, target.Close()); err != nil {
		return errors.Join(fmt.Errorf("copying %s: %w", from, err), os.Remove(to))
	}
	return os.Chtimes(to, stat.ModTime(), stat.ModTime())
}

// same reports whether the file at path has the size and the time of another.
func same(path string, as fs.FileInfo) bool {
	stat, err := os.Stat(path)
	return err == nil && stat.Mode().IsRegular() && stat.Size() == as.Size() && stat.ModTime().Equal(as.ModTime())
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// cut splits a relative path after its first element.
func cut(path string) (first, rest string, nested bool) {
	for i := range len(path) {
		if os.IsPathSeparator(path[i]) {
			return path[:i], path[i+1:], true
		}
	}
	return path, "", false
}

func ignoreGone(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
