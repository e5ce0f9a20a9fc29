package foreignjson

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

type document struct {
	Text     string            `json:"text"`
	Number   int64             `json:"number"`
	Flag     bool              `json:"flag"`
	Bytes    []byte            `json:"bytes"`
	List     []string          `json:"list"`
	Map      map[string]string `json:"map"`
	Set      map[string]struct{}
	Inner    inner         `json:"inner"`
	Pointer  *inner        `json:"pointer"`
	Parts    []inner       `json:"parts" foreign:"required"`
	Optional []inner       `json:"optional"`
	Own      alwaysSeven   `json:"own"`
	Any      any           `json:"any"`
	Nested   map[string]*N `json:"nested"`
}

type N struct {
	List []inner `json:"list"`
}

type inner struct {
	ID   string `json:"id" foreign:"required"`
	Note string `json:"note"`
}

type alwaysSeven int

func (a *alwaysSeven) UnmarshalJSON(raw []byte) error {
	if string(raw) != "7" {
		return errors.New("it is not seven")
	}
	*a = 7
	return nil
}

func TestUnmarshal(t *testing.T) {
	for name, test := range map[string]struct {
		content string
		want    document
	}{
		"all usable":                 {`{"text":"t","number":1,"list":["a"]}`, document{Text: "t", Number: 1, List: []string{"a"}}},
		"text as number":             {`{"text":1,"number":1}`, document{Number: 1}},
		"number as text":             {`{"text":"t","number":"1"}`, document{Text: "t"}},
		"number with a fraction":     {`{"text":"t","number":1.5}`, document{Text: "t"}},
		"number beyond 64 bits":      {`{"text":"t","number":9223372036854775808}`, document{Text: "t"}},
		"flag as text":               {`{"text":"t","flag":"true"}`, document{Text: "t"}},
		"no base64":                  {`{"text":"t","bytes":"?"}`, document{Text: "t"}},
		"list as text":               {`{"text":"t","list":"a"}`, document{Text: "t"}},
		"element of another type":    {`{"text":"t","list":["a",1,"b"]}`, document{Text: "t", List: []string{"a", "b"}}},
		"map as list":                {`{"text":"t","map":[]}`, document{Text: "t"}},
		"member of another type":     {`{"map":{"a":"b","c":1,"d":{"e":"f"}}}`, document{Map: map[string]string{"a": "b"}}},
		"object as text":             {`{"text":"t","pointer":"x","inner":1}`, document{Text: "t"}},
		"field of an object":         {`{"pointer":{"id":"i","note":1}}`, document{Pointer: &inner{ID: "i"}}},
		"own decoder that fails":     {`{"text":"t","own":8}`, document{Text: "t"}},
		"key in another case":        {`{"TEXT":"t","number":"1"}`, document{Text: "t"}},
		"both cases":                 {`{"TEXT":"T","text":"t","Text":"x","number":"1"}`, document{Text: "t"}},
		"null counts as not there":   {`{"text":null,"list":[null],"map":{"a":null},"number":"1","parts":null}`, document{List: []string{""}, Map: map[string]string{"a": ""}}},
		"unknown keys":               {`{"x":{"text":1},"text":"t","number":"1"}`, document{Text: "t"}},
		"any":                        {`{"any":{"a":[1]},"number":"1"}`, document{Any: map[string]any{"a": []any{1.0}}}},
		"required and right":         {`{"parts":[{"id":"i"}],"number":"1"}`, document{Parts: []inner{{ID: "i"}}}},
		"optional object in a list":  {`{"optional":[1,{"id":"i"}]}`, document{Optional: []inner{{ID: "i"}}}},
		"objects in lists in a map":  {`{"nested":{"a":{"list":[{"id":"i","note":1}]},"b":1}}`, document{Nested: map[string]*N{"a": {List: []inner{{ID: "i"}}}}}},
		"a key that is never a path": {`{"map":{"a.b":1,"c":"d"}}`, document{Map: map[string]string{"c": "d"}}},
	} {
		t.Run(name, func(t *testing.T) {
			var got document
			if err := Unmarshal([]byte(test.content), &got); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestUnmarshalRefuses(t *testing.T) {
	for name, test := range map[string]struct{ content, field string }{
		"list that is required":               {`{"parts":{}}`, "parts"},
		"element of a list that is required":  {`{"parts":[1]}`, "parts"},
		"field that is required":              {`{"pointer":{"id":1}}`, "pointer.id"},
		"field that is required, in a list":   {`{"parts":[{"id":[]}]}`, "parts.id"},
		"field that is required, in optional": {`{"optional":[{"id":1}]}`, "optional.id"},
		"field that is required, in a map":    {`{"nested":{"x":{"list":[{"id":1}]}}}`, "nested.x.list.id"},
		"another document":                    {`[]`, ""},
		"text":                                {`"x"`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			err := Unmarshal([]byte(test.content), &document{})
			kind := (*json.UnmarshalTypeError)(nil)
			if !errors.As(err, &kind) || kind.Field != test.field || kind.Value == "" {
				t.Errorf("got %#v of field %q, want %q", err, kind.Field, test.field)
			}
		})
	}
	for _, content := range []string{"", "{", `{"text":}`, "{} {}", strings.Repeat("[", 20000)} {
		if syntax := (*json.SyntaxError)(nil); !errors.As(Unmarshal([]byte(content), &document{}), &syntax) {
			t.Errorf("%.20q is taken for JSON", content)
		}
	}
}

// FuzzUnmarshal holds that whatever encoding/json takes means the same here, and that what is left
// of other documents is what encoding/json would take.
func FuzzUnmarshal(f *testing.F) {
	for _, seed := range []string{`{"text":1,"parts":[{"id":"i","note":2}]}`, `{"map":{"a":1,"b":"c"},"list":[1,"a"]}`, `{"nested":{"x":{"list":[{"id":1}]}}}`, `null`, `[]`, `{`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		var strict, lenient document
		strictErr, err := json.Unmarshal(content, &strict), Unmarshal(content, &lenient)
		if strictErr == nil && (err != nil || !cmp.Equal(strict, lenient)) {
			t.Fatalf("got %+v, %v; encoding/json has %+v", lenient, err, strict)
		}
		if err != nil {
			return
		}
		written, err := json.Marshal(lenient)
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal([]byte(strings.Replace(string(written), `"own":0`, `"own":7`, 1)), &document{}); err != nil {
			t.Fatalf("left %s: %v", written, err)
		}
	})
}
