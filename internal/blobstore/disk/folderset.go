package disk

import (
	"path/filepath"
	"strings"
	"sync"
)

// maxKnownFolders bounds the set of folders that are known to be on the disk. Forgetting
// them costs a sync each.
const maxKnownFolders = 1 << 15

// folderSet are folders whose own names are known to be on the disk: their parent was
// synced by this process after they were made. With a folder, all above it are in the set.
type folderSet struct {
	mu   sync.Mutex
	root folderNode
	size int
}

// folderNode is a folder of the set, with those in it.
type folderNode struct {
	known bool
	in    map[string]*folderNode
}

// find is the node of a folder, nil if neither it nor one below it was added.
func (s *folderSet) find(folder string) *folderNode {
	node := &s.root
	for name := range steps(folder) {
		if node = node.in[name]; node == nil {
			return nil
		}
	}
	return node
}

// steps are the names on the way to a folder.
func steps(folder string) func(yield func(string) bool) {
	return strings.SplitSeq(strings.Trim(folder, string(filepath.Separator)), string(filepath.Separator))
}

func (s *folderSet) has(folder string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	node := s.find(folder)
	return node != nil && node.known
}

func (s *folderSet) add(folders []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.size+len(folders) > maxKnownFolders {
		s.root, s.size = folderNode{}, 0
	}
	for _, folder := range folders {
		s.put(folder)
	}
}

// put is called under the lock.
func (s *folderSet) put(folder string) {
	node := &s.root
	for name := range steps(folder) {
		if node.in == nil {
			node.in = map[string]*folderNode{}
		}
		if node.in[name] == nil {
			node.in[strings.Clone(name)] = &folderNode{}
		}
		node = node.in[name]
	}
	if !node.known {
		node.known = true
		s.size++
	}
}

// forget takes a folder that goes, or was made anew, out of the set with all below it, at a cost
// of those alone.
func (s *folderSet) forget(folder string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	node := s.find(folder)
	if node == nil {
		return
	}
	s.size -= node.count()
	if above := s.find(filepath.Dir(folder)); above != nil {
		delete(above.in, filepath.Base(folder))
	}
}

// count is how many folders of the set are at or below a node.
func (n *folderNode) count() (count int) {
	if n.known {
		count = 1
	}
	for _, below := range n.in {
		count += below.count()
	}
	return count
}
