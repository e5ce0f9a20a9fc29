package disk

import (
	"fmt"
	"testing"
)

// TestFolderSet holds that a folder is forgotten with those below it alone, and that the set is
// bounded.
func TestFolderSet(t *testing.T) {
	var s folderSet
	s.add([]string{"/a", "/a/b", "/a/b/c", "/a/bc", "/d"})
	s.add([]string{"/a", "/a/b"})
	if s.size != 5 {
		t.Errorf("the size is %d", s.size)
	}
	s.forget("/a/x")
	s.forget("/a/b/c/d")
	s.forget("/a/b")
	for folder, want := range map[string]bool{"/a": true, "/a/b": false, "/a/b/c": false, "/a/bc": true, "/d": true, "/d/e": false} {
		if s.has(folder) != want {
			t.Errorf("%s is known: %t", folder, !want)
		}
	}
	if s.size != 3 {
		t.Errorf("the size is %d", s.size)
	}
	for i := range maxKnownFolders + 10 {
		s.add([]string{fmt.Sprintf("/many/%d", i)})
		if s.size > maxKnownFolders {
			t.Fatalf("the size is %d", s.size)
		}
	}
}

// BenchmarkForgetFolder shows that forgetting a folder costs the same however many others there are.
func BenchmarkForgetFolder(b *testing.B) {
	for _, others := range []int{0, 30_000} {
		b.Run(fmt.Sprintf("others=%d", others), func(b *testing.B) {
			var s folderSet
			for i := range others {
				s.add([]string{fmt.Sprintf("/repositories/shop/%d", i)})
			}
			for b.Loop() {
				s.add([]string{"/repositories/gone", "/repositories/gone/app"})
				s.forget("/repositories/gone")
			}
		})
	}
}
