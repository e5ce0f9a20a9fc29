package config

import (
	"cmp"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

const aMapping = "a mapping of settings to values"

// decoder puts a tree of YAML nodes over a Configuration. Whatever cannot be taken
// over is noted and leaves the value as it was.
type decoder struct {
	mistakes []Mistake
	// lines has the line of every path that the document names.
	lines map[string]int
	// unread are the paths whose values could not be taken over.
	unread []string
}

func (d *decoder) wrong(n *yaml.Node, err *field.Error) {
	d.mistakes = append(d.mistakes, Mistake{Line: n.Line, Error: err})
}

func (d *decoder) wrongType(path *field.Path, n *yaml.Node, what string) {
	d.unread = append(d.unread, path.String())
	d.wrong(n, field.TypeInvalid(path, shown(n), "must be "+what))
}

// document decodes the whole file; nil is an empty one.
func (d *decoder) document(n *yaml.Node, into *Configuration) {
	if n == nil {
		return
	}
	if resolved := resolve(n); resolved.Kind != yaml.MappingNode && !isNull(resolved) {
		d.wrongType(field.NewPath("document"), resolved, aMapping)
		return
	}
	d.value(nil, n, reflect.ValueOf(into).Elem())
}

// value decodes one node. A null leaves the default, so that a section whose
// settings are all commented out is no mistake.
func (d *decoder) value(path *field.Path, n *yaml.Node, into reflect.Value) {
	if path != nil {
		d.note(path, n.Line)
	}
	n = resolve(n)
	if isNull(n) {
		return
	}
	if decode, ok := scalars[into.Type()]; ok {
		d.scalar(path, n, into, decode)
		return
	}
	switch into.Kind() {
	case reflect.Struct:
		d.mapping(path, n, into)
	case reflect.Slice:
		d.sequence(path, n, into)
	case reflect.Map:
		d.parameters(path, n, into)
	default:
		d.scalar(path, n, into, kinds[into.Kind()])
	}
}

func (d *decoder) note(path *field.Path, line int) {
	if _, known := d.lines[path.String()]; !known {
		d.lines[path.String()] = line
	}
}

func (d *decoder) scalar(path *field.Path, n *yaml.Node, into reflect.Value, decode scalarDecoder) {
	if n.Kind != yaml.ScalarNode || !decode.read(n, into) {
		d.wrongType(path, n, decode.what)
	}
}

func (d *decoder) mapping(path *field.Path, n *yaml.Node, into reflect.Value) {
	if n.Kind != yaml.MappingNode {
		d.wrongType(path, n, aMapping)
		return
	}
	fields := fieldsOf(into)
	seen := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		at := child(path, key.Value)
		if line, repeated := seen[key.Value]; repeated {
			again := field.Duplicate(at, cut(key.Value))
			again.Detail = fmt.Sprintf("named before at line %d", line)
			d.wrong(key, again)
		}
		seen[key.Value] = key.Line
		if target, known := fields[key.Value]; known && key.Kind == yaml.ScalarNode {
			d.note(at, key.Line)
			d.value(at, value, target)
			continue
		}
		d.wrong(key, field.Forbidden(at, whyUnknown(at, fields)))
	}
}

// noSetting is about a limit of earlier versions that no installation had a reason to change.
const noSetting = "it is a constant now; delete it"

// removed are the settings of earlier versions, with what to do.
var removed = map[string]string{
	"imports.retry.maxRetryAfter":     "it was removed and has no effect; delete it. imports.hosts.maxPause bounds the pauses that registries ask for",
	"imports.hosts.minRate":           noSetting,
	"imports.hosts.maxRate":           noSetting,
	"imports.hosts.recoverPerSecond":  noSetting,
	"imports.hosts.retryBase":         noSetting,
	"imports.hosts.remembered":        noSetting,
	"imports.timeouts.ping":           noSetting,
	"imports.timeouts.tlsHandshake":   noSetting,
	"imports.timeouts.idleConnection": noSetting,
	"imports.timeouts.session":        noSetting,
	"imports.limits.tagSize":          noSetting,
	"imports.limits.listDepth":        noSetting,
	"imports.limits.tagListPages":     noSetting,
	"imports.limits.tagListPageSize":  noSetting,
	"imports.limits.tokenSize":        noSetting,
	"imports.limits.errorSize":        noSetting,
	"imports.limits.headerSize":       noSetting,
	"imports.limits.redirects":        noSetting,
	"imports.limits.sessions":         noSetting,
}

// whyUnknown is the text about a field that its mapping does not have, with what to do.
func whyUnknown(at *field.Path, fields map[string]reflect.Value) string {
	if why, ok := removed[at.String()]; ok {
		return why
	}
	return "unknown field; known here: " + strings.Join(slices.Sorted(maps.Keys(fields)), ", ")
}

func (d *decoder) sequence(path *field.Path, n *yaml.Node, into reflect.Value) {
	if n.Kind != yaml.SequenceNode {
		d.wrongType(path, n, "a list")
		return
	}
	list := reflect.MakeSlice(into.Type(), len(n.Content), len(n.Content))
	for i, item := range n.Content {
		at := path.Index(i)
		if isNull(resolve(item)) {
			d.note(at, item.Line)
			d.unread = append(d.unread, at.String())
			d.wrong(item, field.Required(at, "an item of a list must not be null"))
			continue
		}
		d.value(at, item, list.Index(i))
	}
	into.Set(list)
}

// parameters decodes a mapping whose keys are not ours: those of a storage driver. The
// values may be secrets, so none is repeated in a mistake.
func (d *decoder) parameters(path *field.Path, n *yaml.Node, into reflect.Value) {
	if n.Kind != yaml.MappingNode {
		d.wrongType(path, n, aMapping)
		return
	}
	read := map[string]any{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], resolve(n.Content[i+1])
		at := child(path, key.Value)
		d.note(at, key.Line)
		var scalar any
		switch _, repeated := read[key.Value]; {
		case repeated:
			d.wrong(key, field.Duplicate(at, cut(key.Value)))
		case value.Kind != yaml.ScalarNode || value.Decode(&scalar) != nil:
			d.wrong(value, field.TypeInvalid(at, field.OmitValueType{}, "must be text, a number, true or false"))
		default:
			read[key.Value] = scalar
		}
	}
	into.Set(reflect.ValueOf(read))
}

// locate joins the mistakes of decoding with those of values, which get the line of
// the nearest setting that the document names. What could not be read was not judged.
func (d *decoder) locate(values field.ErrorList) []Mistake {
	all := slices.Clone(d.mistakes)
	for _, err := range values {
		if !slices.ContainsFunc(d.unread, func(path string) bool { return within(err.Field, path) }) {
			all = append(all, Mistake{Line: d.line(err.Field), Error: err})
		}
	}
	slices.SortStableFunc(all, func(a, b Mistake) int { return cmp.Compare(a.Line, b.Line) })
	return all
}

// within reports whether path is outer or something inside of it.
func within(path, outer string) bool {
	rest, below := strings.CutPrefix(path, outer)
	return below && (rest == "" || rest[0] == '.' || rest[0] == '[')
}

func (d *decoder) line(path string) int {
	for {
		if line, ok := d.lines[path]; ok {
			return line
		}
		end := strings.LastIndexAny(path, ".[")
		if end < 0 {
			return 0
		}
		path = path[:end]
	}
}

// fieldsOf returns the fields of a struct by their names in the file. Inlined structs add theirs;
// a field with the name "-" is no setting.
func fieldsOf(v reflect.Value) map[string]reflect.Value {
	fields := map[string]reflect.Value{}
	for i := range v.NumField() {
		f := v.Type().Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case name == "-" || !f.IsExported():
		case name == "" && options == "inline":
			maps.Copy(fields, fieldsOf(v.Field(i)))
		default:
			fields[name] = v.Field(i)
		}
	}
	return fields
}

// child is the path of a key, in brackets when it cannot be a setting's name.
func child(path *field.Path, key string) *field.Path {
	name := func(c rune) bool {
		return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.ContainsRune("_-/", c)
	}
	if key != "" && len(key) <= maxShown && strings.TrimFunc(key, name) == "" {
		if path == nil {
			return field.NewPath(key)
		}
		return path.Child(key)
	}
	key = fmt.Sprintf("%q", cut(key))
	if path == nil {
		return field.NewPath(key)
	}
	return path.Key(key)
}
