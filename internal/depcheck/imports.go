package depcheck

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strconv"
	"strings"
)

// Import is one import line of one of the module's files.
type Import struct {
	File string // slash-separated, relative to the module
	Path string // what it imports
}

// Folder is the folder of the importing file, relative to the module.
func (i Import) Folder() string { return path.Dir(i.File) }

// Test reports whether the line stands in a test file.
func (i Import) Test() bool { return strings.HasSuffix(i.File, "_test.go") }

// ReadImports reads the import lines of all Go files of the module in root, skipping
// the folders that the go command skips. Files are parsed here rather than asked of
// the go command so that files of every build constraint count, and so that the
// test cache has the dependencies of a result.
func ReadImports(root string) ([]Import, error) {
	var all []Import
	err := filepath.WalkDir(root, func(file string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			if file != root && skipped(file, entry.Name()) {
				return filepath.SkipDir
			}
			return nil
		}
		if filepath.Ext(file) != ".go" {
			return nil
		}
		imports, err := readFile(root, file)
		all = append(all, imports...)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("reading the imports of %s: %w", root, err)
	}
	return all, nil
}

func skipped(folder, name string) bool {
	if name == "testdata" || name == "vendor" || strings.HasPrefix(name, ".") || strings.HasPrefix(name, "_") {
		return true
	}
	_, err := os.Stat(filepath.Join(folder, "go.mod"))
	return err == nil // a module of its own
}

func readFile(root, file string) ([]Import, error) {
	source, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	parsed, err := parser.ParseFile(token.NewFileSet(), file, source, parser.ImportsOnly)
	if err != nil {
		return nil, err
	}
	relative, err := filepath.Rel(root, file)
	if err != nil {
		return nil, err
	}
	var imports []Import
	for _, spec := range parsed.Imports {
		imported, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			return nil, fmt.Errorf("%s: import %s: %w", relative, spec.Path.Value, err)
		}
		imports = append(imports, Import{File: filepath.ToSlash(relative), Path: imported})
	}
	return imports, nil
}

// Graph holds what each package imports, outside of its tests.
type Graph map[string][]string

// ReadGraph asks the go command for everything that the packages in the folders, and
// those below them, are linked with.
func ReadGraph(root string, folders []string) (Graph, error) {
	args := []string{"list", "-deps", "-json=ImportPath,Imports"}
	for _, folder := range folders {
		args = append(args, "./"+folder+"/...")
	}
	var stderr bytes.Buffer
	cmd := exec.Command("go", args...)
	cmd.Dir, cmd.Stderr = root, &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go %s: %w: %s", strings.Join(args, " "), err, stderr.Bytes())
	}
	graph := Graph{}
	for decoder := json.NewDecoder(bytes.NewReader(out)); ; {
		var pkg struct {
			ImportPath string
			Imports    []string
		}
		if err := decoder.Decode(&pkg); errors.Is(err, io.EOF) {
			return graph, nil
		} else if err != nil {
			return nil, fmt.Errorf("go %s: reading its answer: %w", strings.Join(args, " "), err)
		}
		graph[pkg.ImportPath] = pkg.Imports
	}
}
