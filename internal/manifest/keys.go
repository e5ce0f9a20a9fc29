package manifest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// maxCauses bounds the length of an error.
const maxCauses = 20

// keys are the keys that are known of an object, each with those of the objects in its value.
// Of an object that is not known they are nil.
type keys map[string]keys

// anyKey stands for every key of an object that is read as a map.
const anyKey = "*"

var knownKeys = keysOf(reflect.TypeFor[Manifest]())

// keysOf reads known keys from json tags. Those of a list are those of its elements.
func keysOf(t reflect.Type) keys {
	switch t.Kind() {
	case reflect.Pointer, reflect.Slice:
		return keysOf(t.Elem())
	case reflect.Struct:
		known := keys{}
		for field := range t.Fields() {
			if name := field.Tag.Get("json"); name != "-" {
				known[name] = keysOf(field.Type)
			}
		}
		return known
	case reflect.Map:
		return keys{anyKey: nil}
	}
	return nil
}

// has reports whether a key is read.
func (k keys) has(key string) bool {
	_, named := k[key]
	_, all := k[anyKey]
	return named || all
}

// checkKeys returns the keys of the document and what is wrong with the keys of all its objects.
// The content is valid JSON and not nested too deep.
func checkKeys(content []byte) (root map[string]bool, causes []string) {
	w := walk{rest: content}
	if w.peek() != '{' {
		return nil, []string{notAnObject}
	}
	return w.object(knownKeys), w.causes
}

// walk goes through valid JSON once. It does without json.Decoder, whose tokens take about as long
// as all of Read.
type walk struct {
	rest   []byte // what is not read yet; nil ends the walk early
	path   []step // to the value that is read
	causes []string
}

// step leads to a value in an object (key) or in a list (index). In an object index is -1.
type step struct {
	key   string
	index int
}

// value reads a value whose objects have the known keys.
func (w *walk) value(known keys) {
	switch w.peek() {
	case '{':
		w.object(known)
	case '[':
		w.each(']', func(i int) {
			w.step(step{index: i}, func() { w.value(known) })
		})
	case '"':
		w.text()
	default: // a number, true, false or null
		for len(w.rest) > 0 && !strings.ContainsRune(",]} \t\r\n", rune(w.rest[0])) {
			w.take()
		}
	}
}

// object reads an object and returns its keys.
func (w *walk) object(known keys) map[string]bool {
	seen := make(map[string]bool, 4)
	w.each('}', func(int) {
		key := w.key()
		w.step(step{key: key, index: -1}, func() {
			w.checkKey(key, known, seen)
			seen[key] = true
			w.peek()
			w.take() // the colon
			w.value(known[key])
		})
	})
	return seen
}

// each reads the elements of an object or list from bracket to bracket.
func (w *walk) each(end byte, element func(i int)) {
	w.take()
	for i := 0; w.peek() != end && len(w.rest) > 0; i++ {
		element(i)
		if w.peek() == ',' {
			w.take()
		}
	}
	w.take()
}

// step reads what is one step further down.
func (w *walk) step(s step, read func()) {
	w.path = append(w.path, s)
	read()
	w.path = w.path[:len(w.path)-1]
}

// checkKey compares a key with those before it in its object and with the known ones. Keys
// that are not read may be there more than once: the image specification leaves them to others.
func (w *walk) checkKey(key string, known keys, seen map[string]bool) {
	if known.has(key) {
		if seen[key] {
			w.refuse("%.200q is there more than once", w.where())
		}
		return
	}
	for name := range known {
		if strings.EqualFold(name, key) {
			w.refuse("%.200q differs from the key %q only by case", w.where(), name)
		}
	}
}

func (w *walk) refuse(format string, args ...any) {
	w.causes = append(w.causes, fmt.Sprintf(format, args...))
	if len(w.causes) >= maxCauses {
		w.rest = nil
	}
}

// where is the path as text: layers[2].digest.
func (w *walk) where() string {
	var b strings.Builder
	for _, s := range w.path {
		switch {
		case s.index >= 0:
			b.WriteString("[" + strconv.Itoa(s.index) + "]")
		case b.Len() > 0:
			b.WriteString("." + s.key)
		default:
			b.WriteString(s.key)
		}
	}
	return b.String()
}

// peek skips white space and returns the byte behind it, 0 at the end.
func (w *walk) peek() byte {
	for len(w.rest) > 0 {
		switch w.rest[0] {
		case ' ', '\t', '\r', '\n':
			w.take()
		default:
			return w.rest[0]
		}
	}
	return 0
}

// take drops a byte.
func (w *walk) take() { w.rest = w.rest[min(1, len(w.rest)):] }

// key reads a key, decoded as encoding/json decodes it.
func (w *walk) key() string {
	raw := w.text()
	plain := !slices.ContainsFunc(raw, func(c byte) bool { return c == '\\' || c >= utf8.RuneSelf })
	if plain {
		return string(bytes.Trim(raw, `"`))
	}
	var decoded string
	_ = json.Unmarshal(raw, &decoded) // it is valid: the whole document is
	return decoded
}

// text reads a string and returns it with its quotes.
func (w *walk) text() []byte {
	w.peek()
	end := 1
	for end < len(w.rest) && w.rest[end] != '"' {
		if w.rest[end] == '\\' {
			end++
		}
		end++
	}
	end = min(end+1, len(w.rest))
	text := w.rest[:end]
	w.rest = w.rest[end:]
	return text
}
