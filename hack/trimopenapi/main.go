// Command trimopenapi reduces a file written by openapi-gen to what no library ships.
//
//	trimopenapi [-elsewhere PATHS] [-described PATHS] FILE ROOT...
//
// FILE is rewritten. Each ROOT is an import path whose types are all kept; of other packages the
// types stay that a kept one refers to: of k8s.io/api/core/v1 the image API needs three types out of
// two hundred. Types of the packages -elsewhere are dropped, because a library has their
// definitions. Types of the packages -described lose their descriptions, which their SwaggerDoc
// methods return. Both are lists of import paths, separated by commas.
package main

import (
	"bytes"
	"flag"
	"fmt"
	"go/ast"
	"go/format"
	"go/parser"
	"go/token"
	"os"
	"slices"
	"strconv"
	"strings"
)

// options select what stays in the file.
type options struct {
	roots     []string // import paths
	elsewhere []string
	described []string
}

func main() {
	elsewhere := flag.String("elsewhere", "", "packages whose definitions a library has")
	described := flag.String("described", "", "packages whose types have SwaggerDoc methods")
	flag.Parse()
	if flag.NArg() < 2 {
		fmt.Fprintln(os.Stderr, "usage: trimopenapi [-elsewhere PATHS] [-described PATHS] FILE ROOT...")
		os.Exit(2)
	}
	o := options{roots: flag.Args()[1:], elsewhere: strings.Split(*elsewhere, ","), described: strings.Split(*described, ",")}
	if err := run(flag.Arg(0), o); err != nil {
		fmt.Fprintln(os.Stderr, "trimopenapi:", err)
		os.Exit(1)
	}
}

func run(path string, o options) error {
	source, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	trimmed, err := trim(source, o)
	if err != nil {
		return fmt.Errorf("trimming %s: %w", path, err)
	}
	return os.WriteFile(path, trimmed, 0o644)
}

// definition is one entry of the map that GetOpenAPIDefinitions returns.
type definition struct {
	entry    *ast.KeyValueExpr
	function string
	refers   []string // model expressions, as they are spelled in map keys
	body     *ast.FuncDecl
	pkg      string // alias of the package of its type
}

type generated struct {
	file        *ast.File
	fset        *token.FileSet
	source      []byte
	definitions map[string]*definition
}

func trim(source []byte, o options) ([]byte, error) {
	fset := token.NewFileSet()
	file, err := parser.ParseFile(fset, "", source, parser.ParseComments)
	if err != nil {
		return nil, err
	}
	g := &generated{file: file, fset: fset, source: source, definitions: map[string]*definition{}}
	g.collect()
	keep := g.reachable(g.aliases(o.roots), g.aliases(o.elsewhere))
	if len(keep) == 0 {
		return nil, fmt.Errorf("no type of %v found", o.roots)
	}
	return g.without(keep, g.aliases(o.described))
}

// collect reads the definitions: which function makes each and what that function refers to.
func (g *generated) collect() {
	functions := map[string]*ast.FuncDecl{}
	for _, decl := range g.file.Decls {
		if f, ok := decl.(*ast.FuncDecl); ok {
			functions[f.Name.Name] = f
		}
	}
	ast.Inspect(functions["GetOpenAPIDefinitions"], func(n ast.Node) bool {
		entry, ok := n.(*ast.KeyValueExpr)
		if !ok {
			return true
		}
		name := entry.Value.(*ast.CallExpr).Fun.(*ast.Ident).Name
		d := &definition{entry: entry, function: name, body: functions[name], pkg: packageOf(entry.Key)}
		d.refers = g.models(d.body)
		g.definitions[g.text(entry.Key)] = d
		return false
	})
}

// models lists the expressions alias.Type{}.OpenAPIModelName() below n.
func (g *generated) models(n ast.Node) []string {
	var found []string
	ast.Inspect(n, func(n ast.Node) bool {
		if call, ok := n.(*ast.CallExpr); ok && packageOf(call) != "" {
			found = append(found, g.text(call))
		}
		return true
	})
	return found
}

// packageOf returns the alias in alias.Type{}.OpenAPIModelName(), "" for other expressions.
func packageOf(e ast.Expr) string {
	call, ok := e.(*ast.CallExpr)
	if !ok {
		return ""
	}
	method, ok := call.Fun.(*ast.SelectorExpr)
	if !ok || method.Sel.Name != "OpenAPIModelName" {
		return ""
	}
	literal, ok := method.X.(*ast.CompositeLit)
	if !ok {
		return ""
	}
	selector, ok := literal.Type.(*ast.SelectorExpr)
	if !ok {
		return ""
	}
	return selector.X.(*ast.Ident).Name
}

func (g *generated) text(n ast.Node) string {
	return string(g.source[g.offset(n.Pos()):g.offset(n.End())])
}

func (g *generated) offset(p token.Pos) int { return g.fset.Position(p).Offset }

// aliases translates import paths into the names the file imports them by.
func (g *generated) aliases(paths []string) []string {
	var names []string
	for _, spec := range g.file.Imports {
		path, err := strconv.Unquote(spec.Path.Value)
		if err == nil && slices.Contains(paths, path) {
			names = append(names, spec.Name.Name)
		}
	}
	return names
}

func (g *generated) reachable(roots, elsewhere []string) map[string]bool {
	keep := map[string]bool{}
	var visit func(string)
	visit = func(model string) {
		d := g.definitions[model]
		if d == nil || keep[model] || slices.Contains(elsewhere, d.pkg) {
			return
		}
		keep[model] = true
		for _, next := range d.refers {
			visit(next)
		}
	}
	for model, d := range g.definitions {
		if slices.Contains(roots, d.pkg) {
			visit(model)
		}
	}
	return keep
}

// without cuts the text of everything that is not kept, of descriptions, and of imports left unused.
func (g *generated) without(keep map[string]bool, described []string) ([]byte, error) {
	var cuts [][2]int
	used := map[string]bool{"common": true, "spec": true}
	for model, d := range g.definitions {
		if keep[model] {
			used[d.pkg] = true
			g.use(d, used)
			if slices.Contains(described, d.pkg) {
				cuts = append(cuts, g.descriptions(d.body)...)
			}
			continue
		}
		cuts = append(cuts, g.line(d.entry))
		cuts = append(cuts, [2]int{g.offset(d.body.Pos()), g.offset(d.body.End())})
	}
	for _, spec := range g.file.Imports {
		if !used[spec.Name.Name] {
			cuts = append(cuts, g.line(spec))
		}
	}
	slices.SortFunc(cuts, func(a, b [2]int) int { return a[0] - b[0] })
	var out bytes.Buffer
	at := 0
	for _, cut := range cuts {
		out.Write(g.source[at:cut[0]])
		at = cut[1]
	}
	out.Write(g.source[at:])
	return format.Source(squeeze(out.Bytes()))
}

// use marks the packages of the models that a definition refers to.
func (g *generated) use(d *definition, used map[string]bool) {
	for _, model := range d.refers {
		if of := g.definitions[model]; of != nil {
			used[of.pkg] = true
		}
	}
}

// descriptions returns the spans of the lines that hold a description.
func (g *generated) descriptions(n ast.Node) [][2]int {
	var spans [][2]int
	ast.Inspect(n, func(n ast.Node) bool {
		field, ok := n.(*ast.KeyValueExpr)
		if !ok {
			return true
		}
		if key, ok := field.Key.(*ast.Ident); ok && key.Name == "Description" {
			spans = append(spans, g.line(field))
			return false
		}
		return true
	})
	return spans
}

// line returns the span of the whole lines that n stands on.
func (g *generated) line(n ast.Node) [2]int {
	start := bytes.LastIndexByte(g.source[:g.offset(n.Pos())], '\n') + 1
	end := g.offset(n.End())
	return [2]int{start, end + bytes.IndexByte(g.source[end:], '\n') + 1}
}

// squeeze folds the blank lines that cut functions leave into one.
func squeeze(source []byte) []byte {
	text := string(source)
	for strings.Contains(text, "\n\n\n") {
		text = strings.ReplaceAll(text, "\n\n\n", "\n\n")
	}
	return []byte(text)
}
