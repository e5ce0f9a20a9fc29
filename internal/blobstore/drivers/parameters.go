package drivers

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// valueKind is the required type of a parameter's value.
type valueKind int

const (
	text     valueKind = iota
	secret             // text that no error tells
	boolean            // true, false, and as text what strconv.ParseBool takes
	number             // whole, also as text
	duration           // as time.ParseDuration takes it
	section            // parameters inside
	refused            // known, and of no use here
)

// parameter is one parameter of a driver.
type parameter struct {
	name     string
	kind     valueKind
	required bool
	min, max int64       // of a number
	unit     int64       // a number is a multiple of it, 0 for any
	choices  []string    // of a text, none for any
	inside   []parameter // of a section
	open     bool        // a section takes other parameters too, all secrets
	why      string      // of a refused one: completes "the parameter …"
}

// convert checks values one by one and gives them the types that the drivers take. A
// value of null counts as left out.
func convert(known []parameter, values map[string]any, prefix string) (map[string]any, []parameterError) {
	converted := map[string]any{}
	var wrong []parameterError
	complain := func(name, format string, args ...any) {
		wrong = append(wrong, parameterError{Parameter: prefix + name, Reason: fmt.Sprintf(format, args...)})
	}
	names := make([]string, len(known))
	for i, p := range known {
		names[i] = p.name
		value := values[p.name]
		switch {
		case value == nil && p.required:
			complain(p.name, "is missing")
		case value == nil:
		case p.kind == section:
			inner, innerWrong := p.convertSection(value, prefix)
			converted[p.name] = inner
			wrong = append(wrong, innerWrong...)
		default:
			v, reason := p.convert(value)
			if reason != "" {
				complain(p.name, "%s", reason)
			}
			converted[p.name] = v
		}
	}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		if values[name] != nil && !slices.Contains(names, name) {
			complain(strconv.Quote(name), "is unknown: choose from %s", cmpNone(strings.Join(names, ", ")))
		}
	}
	return converted, wrong
}

func cmpNone(names string) string {
	if names == "" {
		return "none"
	}
	return names
}

// convert returns the value, or what is wrong with it.
func (p parameter) convert(value any) (converted any, reason string) {
	switch p.kind {
	case refused:
		return nil, p.why
	case boolean:
		if b, ok := asBool(value); ok {
			return b, ""
		}
		return nil, "has to be true or false"
	case number:
		return p.convertNumber(value)
	}
	s, ok := value.(string)
	switch {
	case !ok:
		return nil, "has to be text"
	case p.required && s == "":
		return nil, "is empty"
	case p.kind == duration && !isDuration(s):
		return nil, fmt.Sprintf("must be a duration like 100ms, not %q", s)
	case len(p.choices) > 0 && s != "" && !slices.Contains(p.choices, s):
		return nil, fmt.Sprintf("must be one of %s, not %q", strings.Join(p.choices, ", "), s)
	}
	return s, ""
}

func (p parameter) convertNumber(value any) (any, string) {
	n, ok := asNumber(value)
	switch {
	case !ok:
		return nil, "must be an integer"
	case n < p.min || n > p.max:
		return nil, fmt.Sprintf("must be between %d and %d, not %d", p.min, p.max, n)
	case p.unit > 0 && n%p.unit != 0:
		return nil, fmt.Sprintf("must be a multiple of %d, not %d", p.unit, n)
	}
	return int(n), ""
}

// convertSection takes what decoders of YAML and of JSON make of a section.
func (p parameter) convertSection(value any, prefix string) (map[string]any, []parameterError) {
	values, ok := asMap(value)
	if !ok {
		return nil, []parameterError{{Parameter: prefix + p.name, Reason: "must be an object with parameters"}}
	}
	if p.open {
		return values, nil
	}
	return convert(p.inside, values, prefix+p.name+".")
}

func asMap(value any) (map[string]any, bool) {
	switch m := value.(type) {
	case map[string]any:
		return m, true
	case map[any]any:
		converted := make(map[string]any, len(m))
		for k, v := range m {
			name, ok := k.(string)
			if !ok {
				return nil, false
			}
			converted[name] = v
		}
		return converted, true
	default:
		return nil, false
	}
}

func asBool(value any) (b, ok bool) {
	switch v := value.(type) {
	case bool:
		return v, true
	case string:
		b, err := strconv.ParseBool(v)
		return b, err == nil
	default:
		return false, false
	}
}

func asNumber(value any) (n int64, ok bool) {
	switch v := value.(type) {
	case int:
		return int64(v), true
	case int32:
		return int64(v), true
	case int64:
		return v, true
	case uint:
		return int64(v), uint64(v) <= math.MaxInt64
	case uint32:
		return int64(v), true
	case uint64:
		return int64(v), v <= math.MaxInt64
	case float64: // of JSON; whole up to 2⁵³
		return int64(v), v == math.Trunc(v) && math.Abs(v) <= 1<<53
	case string:
		n, err := strconv.ParseInt(v, 10, 64)
		return n, err == nil
	default:
		return 0, false
	}
}

func isDuration(s string) bool {
	d, err := time.ParseDuration(s)
	return err == nil && d > 0
}

// minSecretLength keeps a text of a letter or two from being taken out of every error.
const minSecretLength = 4

// secretsOf are the texts that no error may tell, the longest first.
func secretsOf(k kind, values map[string]any) []string {
	var secrets []string
	collectSecrets(k.parameters, values, &secrets)
	slices.SortFunc(secrets, func(a, b string) int { return len(b) - len(a) })
	return secrets
}

func collectSecrets(known []parameter, values map[string]any, secrets *[]string) {
	for _, p := range known {
		inner, isMap := asMap(values[p.name])
		switch {
		case p.kind == section && isMap && p.open:
			for name, v := range inner {
				addSecret(secrets, v, name != "type")
			}
		case p.kind == section && isMap:
			collectSecrets(p.inside, inner, secrets)
		default:
			addSecret(secrets, values[p.name], p.kind == secret)
		}
	}
}

func addSecret(secrets *[]string, value any, is bool) {
	if s, ok := value.(string); ok && is && len(s) >= minSecretLength {
		*secrets = append(*secrets, s)
	}
}
