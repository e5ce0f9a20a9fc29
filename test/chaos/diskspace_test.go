package chaos_test

import (
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	digest "github.com/opencontainers/go-digest"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"weir.dev/weir/internal/testenv"
	"weir.dev/weir/internal/testenv/testimage"
)

// diskSpacePage is the documentation of how space is freed.
const diskSpacePage = "../../docs/operate/disk-space.md"

// TestDiskSpace deletes a stream, finds the blobs that nothing has any more with the commands
// of the page, and removes them: images of other streams stay whole.
func TestDiskSpace(t *testing.T) {
	t.Parallel()
	o := newOperator(t)
	o.page = diskSpacePage
	o.start()
	prepare(t, o.p)
	o.push("one")
	shared := o.images["one"].Layers[0]
	gone := testimage.NewRaw(shared, testimage.Noise(3000))
	if err := o.c.push(t.Context(), atOnce, namespace+"/gone", "1", gone); err != nil {
		t.Fatal(err)
	}
	if unneeded := o.findUnneeded(); len(unneeded) > 0 {
		t.Fatalf("the page finds %v while streams have all of it", unneeded)
	}

	if err := o.p.images.ImageV1().ImageStreams(namespace).Delete(t.Context(), "gone", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	want := []string{gone.Digest.String(), digest.FromBytes(gone.Config).String(), digest.FromBytes(gone.Layers[1]).String()}
	slices.Sort(want)
	testenv.Eventually(t, "the links of the stream to be removed", func() error {
		if diff := cmp.Diff(want, o.findUnneeded()); diff != "" {
			return fmt.Errorf("the page finds (-want +got):\n%s", diff)
		}
		return nil
	})
	for _, d := range want {
		if _, err := o.c.want(t.Context(), http.StatusNoContent, http.MethodDelete, "/admin/blobs/"+d, nil); err != nil {
			t.Error(err)
		}
	}
	if left := o.findUnneeded(); len(left) > 0 {
		t.Errorf("after it was removed the page finds %v", left)
	}
	o.c.wantImage(t, namespace+"/pushed", "one", o.images["one"])
}

// findUnneeded follows the page, for blobs that are two days old.
func (o *operator) findUnneeded() []string {
	o.t.Helper()
	old := time.Now().Add(-48 * time.Hour)
	err := filepath.WalkDir(o.path("weir-data/registry/docker/registry/v2/blobs"), func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		return os.Chtimes(path, old, old)
	})
	if err != nil {
		o.t.Fatal(err)
	}
	o.does("How to free it", 3)
	listed, err := os.ReadFile(o.path("unneeded"))
	if err != nil {
		o.t.Fatal(err)
	}
	return strings.Fields(string(listed))
}
