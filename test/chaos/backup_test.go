package chaos_test

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"weir.dev/weir/internal/testenv"
	"weir.dev/weir/internal/testenv/s3server"
	"weir.dev/weir/internal/testenv/testimage"
)

// backupPage is the documentation of backups. Its commands are run as they are.
const backupPage = "../../docs/operate/backup.md"

// operator follows a page at a shell.
type operator struct {
	t      *testing.T
	page   string
	folder string
	env    []string
	args   []string // of weir serve
	p      *process
	c      registryClient
	images map[string]testimage.Raw // what is in the backup, by tag
}

// newOperator starts a Weir with its data folder in the folder of the shell.
func newOperator(t *testing.T, args ...string) *operator {
	t.Helper()
	o := &operator{t: t, page: backupPage, folder: t.TempDir(), args: args, images: map[string]testimage.Raw{}}
	if err := os.MkdirAll(filepath.Join(o.folder, "bin"), 0o700); err != nil {
		t.Fatal(err)
	}
	return o
}

func (o *operator) path(name string) string { return filepath.Join(o.folder, name) }

// start starts Weir, and the command weir of the shell is about this one: its registry has
// another port than the page's.
func (o *operator) start() {
	o.t.Helper()
	o.p = boot(o.t, o.path("weir-data"), o.args...)
	o.c = administrator(o.t, o.p)
	binary, err := weir()
	if err != nil {
		o.t.Fatal(err)
	}
	script := fmt.Sprintf("#!/bin/sh\nif [ \"$1\" = verify ]; then shift; set -- verify --registry http://%s \"$@\"; fi\nexec %q \"$@\"\n", o.c.host, binary)
	if err := os.WriteFile(o.path("bin/weir"), []byte(script), 0o700); err != nil { //nolint:gosec // it is a program
		o.t.Fatal(err)
	}
}

func (o *operator) stop() { o.t.Helper(); o.p.terminate(o.t, 20*time.Second) }

// push pushes an image that the backup is going to have.
func (o *operator) push(tag string) {
	o.t.Helper()
	i := testimage.NewRaw(testimage.Noise(1000), testimage.Noise(100))
	if err := o.c.push(o.t.Context(), atOnce, namespace+"/pushed", tag, i); err != nil {
		o.t.Fatal(err)
	}
	o.images[tag] = i
}

// follow runs the n-th block of commands in a section of the page.
func (o *operator) follow(section string, n int) (output string, err error) {
	o.t.Helper()
	content, err := os.ReadFile(o.page)
	if err != nil {
		o.t.Fatal(err)
	}
	_, text, found := strings.Cut(string(content), "\n## "+section+"\n")
	text, _, _ = strings.Cut(text, "\n## ")
	blocks := strings.Split(text, "```shell\n")
	if !found || len(blocks) <= n {
		o.t.Fatalf("section %q of %s has no block %d", section, o.page, n)
	}
	commands, _, _ := strings.Cut(blocks[n], "```")
	shell := exec.CommandContext(o.t.Context(), "bash", "-e", "-c", commands)
	shell.Dir = o.folder
	shell.Env = append(append(os.Environ(), "PATH="+o.path("bin")+":"+os.Getenv("PATH")), o.env...)
	out, err := shell.CombinedOutput()
	return string(out), err
}

// does is follow for commands that have to succeed.
func (o *operator) does(section string, n int) (output string) {
	o.t.Helper()
	output, err := o.follow(section, n)
	if err != nil {
		o.t.Fatalf("block %d of %q: %v\n%s", n, section, err, output)
	}
	return output
}

// wantRestored holds that everything of the backup is there, and nothing that came later.
func (o *operator) wantRestored() {
	o.t.Helper()
	for tag, i := range o.images {
		o.c.wantImage(o.t, namespace+"/pushed", tag, i)
	}
	if _, err := o.c.want(o.t.Context(), http.StatusNotFound, http.MethodGet, manifestOf(namespace+"/pushed", "later"), nil); err != nil {
		o.t.Errorf("it was pushed after the backup: %v", err)
	}
	if output := o.does("Restore", 2); !strings.Contains(output, fmt.Sprintf("all %d images", len(o.images))) {
		o.t.Errorf("weir verify says %q, want that %d images are there", output, len(o.images))
	}
}

// TestBackup follows the page with the embedded etcd and a folder: two backups while Weir
// runs, a restore, and then the loss of the registry's folder.
func TestBackup(t *testing.T) {
	t.Parallel()
	o := newOperator(t)
	o.start()
	prepare(t, o.p)
	o.push("one")
	o.does("Backup", 1)
	o.push("two")
	o.does("Backup", 2)
	before, err := o.p.images.ImageV1().ImageStreams(namespace).Get(t.Context(), "pushed", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := o.c.push(t.Context(), atOnce, namespace+"/pushed", "later", testimage.NewRaw(testimage.Noise(10))); err != nil {
		t.Fatal(err)
	}
	if output, err := o.follow("Backup", 1); err == nil || !strings.Contains(output, "backup/monday is not empty") {
		t.Errorf("a second backup to the same folder: %v, %q", err, output)
	}
	o.stop()

	o.does("Restore", 1)
	o.start()
	o.wantRestored()
	after, err := o.p.images.ImageV1().ImageStreams(namespace).Get(t.Context(), "pushed", metav1.GetOptions{})
	if err != nil || after.UID != before.UID {
		t.Errorf("the restored stream has UID %s, %v; want %s", after.UID, err, before.UID)
	}
	o.push("three")
	o.stop()

	if err := os.RemoveAll(o.path("weir-data/registry/docker/registry/v2/repositories")); err != nil {
		t.Fatal(err)
	}
	o.start()
	o.wantMissing()
	for tag, i := range o.images {
		if err := o.c.push(t.Context(), atOnce, namespace+"/pushed", tag, i); err != nil {
			t.Errorf("pushing the lost image of tag %s again: %v", tag, err)
		}
	}
	o.wantRestored()
}

// wantMissing holds that the loss of all links is reported: by weir verify, in the log and by
// an Event.
func (o *operator) wantMissing() {
	o.t.Helper()
	output, err := o.follow("Restore", 2)
	if err == nil || !strings.Contains(output, "the content of 3 of 3 images is missing") || !strings.Contains(output, namespace+"/pushed") {
		o.t.Errorf("weir verify: %v, %q", err, output)
	}
	testenv.Eventually(o.t, "an Event about the stream", func() error {
		events, err := o.p.kube.EventsV1().Events(namespace).List(o.t.Context(), metav1.ListOptions{FieldSelector: "reason=ContentMissing"})
		if err == nil && len(events.Items) == 0 {
			return fmt.Errorf("there is none")
		}
		return err
	})
	if !strings.Contains(o.p.output.String(), "Content of images is not in the registry's storage") {
		o.t.Errorf("the log does not say that content is missing:\n%s", o.p.output)
	}
}

// TestBackupWithObjectStore follows the page for a registry whose content is in a bucket.
func TestBackupWithObjectStore(t *testing.T) {
	t.Parallel()
	store := s3server.Start(t, t.TempDir())
	o := newOperator(t)
	bucket := filepath.Join(store.Folder, "data", s3server.Bucket)
	content, err := yaml.Marshal(map[string]any{"registry": map[string]any{"storage": map[string]any{"driver": "s3", "parameters": store.Parameters("/weir")}}})
	if err != nil {
		t.Fatal(err)
	}
	config := testenv.ConfigFile(t, string(content))
	for name, target := range map[string]string{"bucket": bucket, "config.yaml": config} {
		if err := os.Symlink(target, o.path(name)); err != nil {
			t.Fatal(err)
		}
	}
	o.args = []string{"--config", config}
	o.start()
	prepare(t, o.p)
	o.push("one")
	o.does("With S3, Google Cloud Storage or Azure", 1)
	if err := o.c.push(t.Context(), atOnce, namespace+"/pushed", "later", testimage.NewRaw(testimage.Noise(10))); err != nil {
		t.Fatal(err)
	}
	o.stop()
	if err := os.RemoveAll(filepath.Join(bucket, "weir")); err != nil {
		t.Fatal(err)
	}
	o.does("With S3, Google Cloud Storage or Azure", 2)
	o.start()
	o.wantRestored()
}

// TestBackupWithExternalEtcd follows the page for an etcd with a life of its own.
func TestBackupWithExternalEtcd(t *testing.T) {
	t.Parallel()
	etcd := startEtcd(t)
	o := newOperator(t, "--etcd-servers", etcd.endpoint)
	buildEtcdutl(t, o.path("bin/etcdutl"))
	o.env = []string{"ETCD=" + etcd.endpoint}
	o.start()
	prepare(t, o.p)
	o.push("one")
	o.does("With an external etcd", 1)
	if err := o.c.push(t.Context(), atOnce, namespace+"/pushed", "later", testimage.NewRaw(testimage.Noise(10))); err != nil {
		t.Fatal(err)
	}
	o.stop()
	etcd.kill(t)
	o.does("With an external etcd", 2)
	o.does("With an external etcd", 3)
	if err := os.RemoveAll(filepath.Join(etcd.dir, "member")); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(o.path("etcd-restored"), filepath.Join(etcd.dir, "member")); err != nil {
		t.Fatal(err)
	}
	etcd.start(t)
	o.start()
	o.wantRestored()
}

// buildEtcdutl builds etcd's tool in the release that is embedded, in a module of its own.
func buildEtcdutl(t *testing.T, program string) {
	t.Helper()
	module := t.TempDir()
	for _, name := range []string{"go.mod", "go.sum"} {
		content, err := os.ReadFile(filepath.Join("../..", name))
		if err == nil {
			err = os.WriteFile(filepath.Join(module, name), content, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	build := exec.CommandContext(t.Context(), "go", "build", "-mod=mod", "-o", program, "go.etcd.io/etcd/etcdutl/v3")
	build.Dir = module
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building etcdutl: %v\n%s", err, out)
	}
}
