// Package foreignjson decodes JSON that other programs wrote.
//
// encoding/json fails as a whole if one value has another type than its field: an image whose
// Entrypoint is a string instead of a list could not be described at all. Here such a value counts
// as absent and everything around it is kept, unless the field is tagged as required.
//
// The package is pure: bytes in, values out. Callers must bound size and depth.
package foreignjson

import (
	"encoding/json"
	"errors"
	"reflect"
	"slices"
	"strings"
)

// Unmarshal decodes data into the value that into points to, as json.Unmarshal does, except that it
// omits a value of the wrong type together with its key or its element of a list.
//
// A field with the tag `foreign:"required"` takes no other type, nor do the elements of a list in
// it: these are a *json.UnmarshalTypeError, as is a document that is not of into's type at all.
// Text that is not JSON is a *json.SyntaxError. into is not usable after an error.
func Unmarshal(data []byte, into any) error {
	err := json.Unmarshal(data, into)
	if syntax := (*json.SyntaxError)(nil); err == nil || errors.As(err, &syntax) {
		return err
	}
	// encoding/json leaves traces of what it could not take, such as the key of a map.
	target := reflect.ValueOf(into).Elem()
	target.SetZero()
	return decode(data, target, "")
}

// decode returns an error where raw is not of the value's type, or a required field in it is not
// of its own. Only the error of a required field is a *requiredError.
func decode(raw json.RawMessage, into reflect.Value, path string) error {
	if _, own := into.Addr().Interface().(json.Unmarshaler); own || string(raw) == "null" {
		return whole(raw, into, path)
	}
	switch into.Kind() {
	case reflect.Pointer:
		return decodePointer(raw, into, path)
	case reflect.Struct:
		return decodeStruct(raw, into, path)
	case reflect.Map:
		return decodeMap(raw, into, path)
	case reflect.Slice:
		if into.Type().Elem().Kind() != reflect.Uint8 {
			return decodeList(raw, into, path, false)
		}
	}
	return whole(raw, into, path)
}

// whole decodes a value completely or not at all.
func whole(raw json.RawMessage, into reflect.Value, path string) error {
	value := reflect.New(into.Type())
	if err := json.Unmarshal(raw, value.Interface()); err != nil {
		return at(path, err)
	}
	into.Set(value.Elem())
	return nil
}

// at puts the path into an error of encoding/json, which has that of the part it was given.
func at(path string, err error) error {
	if kind := (*json.UnmarshalTypeError)(nil); errors.As(err, &kind) {
		located := *kind
		located.Field = path
		return &located
	}
	return err
}

func decodePointer(raw json.RawMessage, into reflect.Value, path string) error {
	value := reflect.New(into.Type().Elem())
	if err := decode(raw, value.Elem(), path); err != nil {
		return err
	}
	into.Set(value)
	return nil
}

func decodeStruct(raw json.RawMessage, into reflect.Value, path string) error {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(raw, &members); err != nil {
		return at(path, err)
	}
	for field, value := range into.Fields() {
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		member, there := memberOf(members, name)
		if name == "" || name == "-" || !there {
			continue
		}
		required := field.Tag.Get("foreign") == "required"
		var err error
		if required && value.Kind() == reflect.Slice {
			err = decodeList(member, value, below(path, name), true)
		} else {
			err = decode(member, value, below(path, name))
		}
		if inner := (*requiredError)(nil); err != nil && (required || errors.As(err, &inner)) {
			return &requiredError{err}
		}
	}
	return nil
}

// requiredError is the error of a required field, which ends the decoding of what it is in.
type requiredError struct{ error }

func (e *requiredError) Unwrap() error { return e.error }

// memberOf finds a key as encoding/json does: spelled alike, or else in another case. Of several in
// another case it takes the first in the order of their bytes.
func memberOf(members map[string]json.RawMessage, name string) (member json.RawMessage, there bool) {
	if member, there = members[name]; there {
		return member, true
	}
	var folded []string
	for key := range members {
		if strings.EqualFold(key, name) {
			folded = append(folded, key)
		}
	}
	if len(folded) == 0 {
		return nil, false
	}
	return members[slices.Min(folded)], true
}

func decodeMap(raw json.RawMessage, into reflect.Value, path string) error {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(raw, &members); err != nil {
		return at(path, err)
	}
	out := reflect.MakeMap(into.Type())
	for key, member := range members {
		value := reflect.New(into.Type().Elem()).Elem()
		err := decode(member, value, below(path, key))
		if inner := (*requiredError)(nil); errors.As(err, &inner) {
			return err
		}
		if err == nil {
			out.SetMapIndex(reflect.ValueOf(key).Convert(into.Type().Key()), value)
		}
	}
	into.Set(out)
	return nil
}

// decodeList omits elements of the wrong type, or fails if elements are required.
func decodeList(raw json.RawMessage, into reflect.Value, path string, required bool) error {
	var elements []json.RawMessage
	if err := json.Unmarshal(raw, &elements); err != nil {
		return at(path, err)
	}
	if elements == nil {
		return nil
	}
	out := reflect.MakeSlice(into.Type(), 0, len(elements))
	for _, element := range elements {
		value := reflect.New(into.Type().Elem()).Elem()
		err := decode(element, value, path)
		if inner := (*requiredError)(nil); err != nil && (required || errors.As(err, &inner)) {
			return err
		}
		if err == nil {
			out = reflect.Append(out, value)
		}
	}
	into.Set(out)
	return nil
}

func below(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}
