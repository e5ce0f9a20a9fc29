package accesslog

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"weir.dev/weir/internal/ociregistry"
)

var pushed = ociregistry.AccessEntry{
	Time: time.Date(2030, 1, 2, 3, 4, 5, 6e6, time.FixedZone("", 3600)), Duration: 1500 * time.Millisecond,
	Request: "ab-1", User: "oidc:alice\nroot", Client: "10.0.0.7", Method: "PUT", Route: "manifest",
	Repository: "team/app", Reference: "v1", Digest: "sha256:ab", Status: 201, Received: 512,
}

func written(t *testing.T, o Options, entries ...ociregistry.AccessEntry) string {
	t.Helper()
	o.Path = filepath.Join(t.TempDir(), "access.log")
	l, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		l.Write(e)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(o.Path)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(o.Path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the log has mode %v, %v", info.Mode(), err)
	}
	return string(content)
}

func TestFormats(t *testing.T) {
	for format, want := range map[string]string{
		FormatText: `time=2030-01-02T02:04:05.006Z request=ab-1 user="oidc:alice\nroot" client=10.0.0.7 method=PUT route=manifest repository=team/app reference=v1 digest=sha256:ab status=201 received=512 sent=0 seconds=1.5`,
		FormatJSON: `{"time":"2030-01-02T02:04:05.006Z","request":"ab-1","user":"oidc:alice\nroot","client":"10.0.0.7","method":"PUT","route":"manifest","repository":"team/app","reference":"v1","digest":"sha256:ab","status":201,"received":512,"sent":0,"seconds":1.5}`,
	} {
		if got := written(t, Options{Format: format}, pushed, pushed); got != want+"\n"+want+"\n" {
			t.Errorf("%s:\n%s\nwant\n%s", format, got, want)
		}
	}
}

// Nothing that a client sends makes a second line, or a line that is no JSON.
func FuzzLines(f *testing.F) {
	f.Add("a", "b\nc", "\xff\x00")
	f.Fuzz(func(t *testing.T, user, repository, reference string) {
		e := ociregistry.AccessEntry{User: user, Repository: repository, Reference: reference}
		for _, format := range []string{FormatText, FormatJSON} {
			line := written(t, Options{Format: format}, e)
			if strings.Count(line, "\n") != 1 || format == FormatJSON && !json.Valid([]byte(line)) {
				t.Fatalf("%s: %q", format, line)
			}
		}
	})
}

func TestRotation(t *testing.T) {
	dir := t.TempDir()
	l, err := New(Options{Path: filepath.Join(dir, "access.log"), Format: FormatText, MaxSize: 1})
	if err != nil {
		t.Fatal(err)
	}
	long := pushed
	long.Reference = string(bytes.Repeat([]byte("x"), 400<<10))
	for range 4 {
		l.Write(long)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	files, err := os.ReadDir(dir)
	if err != nil || len(files) != 2 {
		t.Errorf("%v, %v", files, err)
	}
}

func TestLogsThatCannotBe(t *testing.T) {
	for _, o := range []Options{{Path: t.TempDir(), Format: FormatText}, {Path: "/nowhere/access.log", Format: FormatText}, {Path: Stdout, Format: "xml"}} {
		if _, err := New(o); err == nil {
			t.Errorf("%+v is one", o)
		}
	}
}
