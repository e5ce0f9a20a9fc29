// Package docs_test proves that what the documentation points at is there.
package docs_test

import (
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unicode"
)

// root is the folder of the repository.
const root = ".."

// ignored are folders that a build or a run leaves behind, and those of other tools.
var ignored = map[string]bool{".git": true, "bin": true, "weir-data": true, "node_modules": true}

var (
	// link is the end of [text](target), or a whole [text]: target.
	link = regexp.MustCompile(`\]\(\s*<?([^)\s>]+)>?[^)]*\)|(?m:^\[[^\]]+\]:\s*(\S+))`)
	// codeSpan is code within a line.
	codeSpan = regexp.MustCompile("`([^`\n]+)`")
	// file is the path of something in the repository, from its root.
	file = regexp.MustCompile(`^(\./)?(\.ci|cmd|docs|examples|hack|internal|test)(/[A-Za-z0-9_.-]+)+/?$`)
)

// document is a Markdown file taken apart.
type document struct {
	name    string // from the root
	prose   string // without fenced code
	code    []string
	anchors map[string]bool
}

func TestLinks(t *testing.T) {
	documents := read(t)
	if len(documents) < 10 {
		t.Fatalf("found %d Markdown files: is %s still the repository?", len(documents), root)
	}
	for _, d := range documents {
		t.Run(d.name, func(t *testing.T) {
			for _, target := range d.links() {
				if why := d.broken(target, exists, documents); why != "" {
					t.Errorf("link %s: %s", target, why)
				}
			}
			for _, name := range d.files() {
				if !exists(name) {
					t.Errorf("names the file %s, which is not there", name)
				}
			}
		})
	}
}

// exists tells whether a name, from the root, is that of a file or folder.
func exists(name string) bool {
	_, err := os.Stat(filepath.Join(root, name))
	return err == nil
}

func read(t *testing.T) map[string]*document {
	t.Helper()
	documents := map[string]*document{}
	err := filepath.WalkDir(root, func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && ignored[entry.Name()]:
			return filepath.SkipDir
		case entry.IsDir() || filepath.Ext(name) != ".md":
			return nil
		}
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		relative, err := filepath.Rel(root, name)
		if err != nil {
			return err
		}
		d := parse(filepath.ToSlash(relative), string(text))
		documents[d.name] = d
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return documents
}

// parse splits prose from code and collects the anchors of headings.
func parse(name, text string) *document {
	d := &document{name: name, anchors: map[string]bool{}}
	var prose strings.Builder
	fenced := false
	for line := range strings.Lines(text) {
		switch {
		case strings.HasPrefix(strings.TrimSpace(line), "```"):
			fenced = !fenced
		case fenced:
			d.code = append(d.code, line)
		default:
			prose.WriteString(line)
			if strings.HasPrefix(line, "#") {
				d.addAnchor(strings.TrimLeft(line, "#"))
			}
		}
	}
	d.prose = prose.String()
	for _, span := range codeSpan.FindAllStringSubmatch(d.prose, -1) {
		d.code = append(d.code, span[1])
	}
	return d
}

// addAnchor makes the anchor of a heading as code hosts do: in lower case, spaces to
// hyphens, punctuation left out, a number behind one that was there before.
func (d *document) addAnchor(heading string) {
	anchor := strings.Map(func(r rune) rune {
		switch {
		case unicode.IsLetter(r), unicode.IsDigit(r), r == '-', r == '_':
			return unicode.ToLower(r)
		case r == ' ':
			return '-'
		}
		return -1
	}, strings.TrimSpace(heading))
	unique := anchor
	for n := 1; d.anchors[unique]; n++ {
		unique = fmt.Sprintf("%s-%d", anchor, n)
	}
	d.anchors[unique] = true
}

// links are the targets of all links. The ends that links are found by are outside of
// code, even where their text is code.
func (d *document) links() []string {
	var targets []string
	for _, match := range link.FindAllStringSubmatch(codeSpan.ReplaceAllString(d.prose, "code"), -1) {
		targets = append(targets, match[1]+match[2])
	}
	return targets
}

// broken says why a link leads nowhere, "" if it does not. What leads out of the
// repository is not followed.
func (d *document) broken(target string, exists func(name string) bool, documents map[string]*document) string {
	if strings.Contains(target, "://") || strings.HasPrefix(target, "mailto:") {
		return ""
	}
	name, anchor, hasAnchor := strings.Cut(target, "#")
	at := d.name
	if name != "" {
		at = path.Join(path.Dir(d.name), name)
	}
	if at == ".." || strings.HasPrefix(at, "../") {
		return "leads out of the repository"
	}
	if !exists(at) {
		return "there is no " + at
	}
	if !hasAnchor {
		return ""
	}
	if to := documents[at]; to == nil || !to.anchors[anchor] {
		return fmt.Sprintf("%s has no heading #%s", at, anchor)
	}
	return ""
}

// files are the words of code that look like files of the repository.
func (d *document) files() []string {
	var names []string
	for _, line := range d.code {
		for word := range strings.FieldsSeq(line) {
			word = strings.Trim(word, `"',;:()`)
			if file.MatchString(word) && !strings.Contains(word, "...") {
				names = append(names, word)
			}
		}
	}
	return names
}

func TestParse(t *testing.T) {
	d := parse("docs/a.md", strings.Join([]string{
		"# One `two`, three", "[x](b.md#c) and [`y`](../d.go), not `[z](e.go)`",
		"```", "[no](link.md) -f examples/e.yaml", "```",
		"# One `two`, three", "`internal/f` `./...`", "[g]: h.md", "",
	}, "\n"))
	if got := fmt.Sprint(d.links()); got != "[b.md#c ../d.go h.md]" {
		t.Errorf("links: %s", got)
	}
	if got := fmt.Sprint(d.files()); got != "[examples/e.yaml internal/f]" {
		t.Errorf("files: %s", got)
	}
	if !d.anchors["one-two-three"] || !d.anchors["one-two-three-1"] {
		t.Errorf("anchors: %v", d.anchors)
	}
	there := func(name string) bool { return name == "docs/a.md" || name == "b.go" }
	for target, want := range map[string]string{
		"https://example.com/x": "",
		"../b.go":               "",
		"#one-two-three":        "",
		"a.md#one-two-three-1":  "",
		"#four":                 "docs/a.md has no heading #four",
		"../b.go#x":             "b.go has no heading #x",
		"nowhere.md":            "there is no docs/nowhere.md",
		"../../x":               "leads out of the repository",
	} {
		if got := d.broken(target, there, map[string]*document{"docs/a.md": d}); got != want {
			t.Errorf("%s: got %q, want %q", target, got, want)
		}
	}
}
