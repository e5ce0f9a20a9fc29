package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"go.yaml.in/yaml/v3"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"weir.dev/weir/internal/yamlhint"
)

// maxFile is the largest file that is read, in bytes.
const maxFile = 1 << 20

// Load reads a configuration file over the defaults. Relative paths in it are made
// relative to its folder. The error is an *Error when the file can be read as YAML
// but has mistakes.
func Load(path string) (*Configuration, error) {
	data, err := readFile(path)
	if err != nil {
		return nil, fmt.Errorf("reading the configuration file: %w", err)
	}
	c, err := Parse(data)
	if mistakes := (*Error)(nil); errors.As(err, &mistakes) {
		mistakes.File = path
		return nil, mistakes
	}
	if err != nil {
		return nil, fmt.Errorf("reading the configuration file %s: %w", path, err)
	}
	if f := &c.Imports.NodeCredentialsFile; *f != "" && !filepath.IsAbs(*f) {
		*f = filepath.Join(filepath.Dir(path), *f)
	}
	return c, nil
}

func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, err
	}
	if len(data) > maxFile {
		return nil, fmt.Errorf("%s: larger than %d bytes", path, maxFile)
	}
	return data, nil
}

// Parse reads a configuration over the defaults. The error is an *Error when data is
// YAML (or JSON) but has mistakes.
func Parse(data []byte) (*Configuration, error) {
	document, err := parseDocument(data)
	if err != nil {
		return nil, err
	}
	c := Default()
	c.APIVersion, c.Kind = "", "" // the file has to say what it is
	d := decoder{lines: map[string]int{}}
	d.document(document, c)
	if mistakes := d.locate(c.Validate()); len(mistakes) > 0 {
		return nil, &Error{Mistakes: mistakes}
	}
	return c, nil
}

// parseDocument makes nodes of the one document that data must hold; nil of none.
func parseDocument(data []byte) (*yaml.Node, error) {
	var document, another yaml.Node
	reader := yaml.NewDecoder(bytes.NewReader(data))
	switch err := reader.Decode(&document); {
	case errors.Is(err, io.EOF):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("the configuration is not valid YAML: %w", yamlhint.Add(err))
	}
	switch err := reader.Decode(&another); {
	case errors.Is(err, io.EOF):
		return document.Content[0], nil
	case err != nil:
		return nil, fmt.Errorf("the configuration is not valid YAML: %w", yamlhint.Add(err))
	}
	return nil, fmt.Errorf("the configuration has a second document, at line %d: only one is read", another.Line)
}

// Error is everything that is wrong with a configuration.
type Error struct {
	// File is the file's path, "" when the configuration did not come from one.
	File string
	// Mistakes are in the order of their lines.
	Mistakes []Mistake
}

// Mistake is one thing that is wrong.
type Mistake struct {
	// Line is where in the file, counted from 1; 0 when nothing in the file stands for it.
	Line int
	// Error has the path of the setting, its value and what is wrong with it.
	*field.Error
}

// Error lists the mistakes, one a line.
func (e *Error) Error() string {
	var b bytes.Buffer
	fmt.Fprintf(&b, "the configuration has %d mistake", len(e.Mistakes))
	if len(e.Mistakes) != 1 {
		b.WriteByte('s')
	}
	for _, m := range e.Mistakes {
		b.WriteString("\n  ")
		switch {
		case e.File != "" && m.Line > 0:
			fmt.Fprintf(&b, "%s:%d: ", e.File, m.Line)
		case e.File != "":
			fmt.Fprintf(&b, "%s: ", e.File)
		case m.Line > 0:
			fmt.Fprintf(&b, "line %d: ", m.Line)
		}
		b.WriteString(m.Error.Error())
	}
	return b.String()
}
