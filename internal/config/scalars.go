package config

import (
	"math"
	"reflect"
	"regexp"
	"time"

	"go.yaml.in/yaml/v3"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"weir.dev/weir/internal/foreigntext"
	"weir.dev/weir/internal/settings"
)

// maxShown is how much of a value is repeated in a message, in bytes.
const maxShown = 100

// scalarDecoder reads one type of scalar.
type scalarDecoder struct {
	// what says in words what a value must be.
	what string
	// read sets into, or returns false when the node is something else.
	read func(n *yaml.Node, into reflect.Value) bool
}

// scalars are the types that are no plain Go values.
var scalars = map[reflect.Type]scalarDecoder{
	reflect.TypeFor[metav1.Duration](): {`a duration such as "30s" or "1h30m"`, readDuration},
	reflect.TypeFor[*bool]():           {"true or false", readOptionalBool},
	reflect.TypeFor[settings.Size]():   {`a number of bytes such as 65536, "64Ki" or "8Mi"`, readSize},
}

// kinds are the plain Go values.
var kinds = map[reflect.Kind]scalarDecoder{
	reflect.String:  {"text (put it in quotes if it reads like something else)", readText},
	reflect.Bool:    {"true or false", readBool},
	reflect.Int:     {"a whole number", readInt},
	reflect.Float64: {"a number", readNumber},
}

func readText(n *yaml.Node, into reflect.Value) bool {
	if n.ShortTag() != "!!str" {
		return false
	}
	into.SetString(n.Value)
	return true
}

func readBool(n *yaml.Node, into reflect.Value) bool {
	var b bool
	if n.ShortTag() != "!!bool" || n.Decode(&b) != nil {
		return false
	}
	into.SetBool(b)
	return true
}

func readOptionalBool(n *yaml.Node, into reflect.Value) bool {
	b := reflect.New(into.Type().Elem())
	if !readBool(n, b.Elem()) {
		return false
	}
	into.Set(b)
	return true
}

func readInt(n *yaml.Node, into reflect.Value) bool {
	var i int
	if n.ShortTag() != "!!int" || n.Decode(&i) != nil {
		return false
	}
	into.SetInt(int64(i))
	return true
}

func readNumber(n *yaml.Node, into reflect.Value) bool {
	var f float64
	if tag := n.ShortTag(); tag != "!!int" && tag != "!!float" || n.Decode(&f) != nil {
		return false
	}
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return false
	}
	into.SetFloat(f)
	return true
}

func readDuration(n *yaml.Node, into reflect.Value) bool {
	if n.ShortTag() != "!!str" {
		return false
	}
	d, err := time.ParseDuration(n.Value)
	if err != nil {
		return false
	}
	into.Set(reflect.ValueOf(metav1.Duration{Duration: d}))
	return true
}

// sizeSyntax is the part of the quantity syntax that makes sense for sizes. It keeps
// out exponents, with which a few characters make numbers that take hours to compare.
var sizeSyntax = regexp.MustCompile(`^[0-9]{1,12}(Ki|Mi|Gi|Ti|k|M|G|T)?$`)

func readSize(n *yaml.Node, into reflect.Value) bool {
	if tag := n.ShortTag(); tag != "!!str" && tag != "!!int" || !sizeSyntax.MatchString(n.Value) {
		return false
	}
	q, err := resource.ParseQuantity(n.Value)
	if err != nil {
		return false
	}
	into.SetInt(q.Value())
	return true
}

// resolve goes from an alias to what it stands for.
func resolve(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.AliasNode {
		return n.Alias
	}
	return n
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" }

// shown returns the text of a node for a message.
func shown(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "{…}"
	case yaml.SequenceNode:
		return "[…]"
	}
	return cut(n.Value)
}

func cut(s string) string { return foreigntext.Truncate(s, maxShown) }
