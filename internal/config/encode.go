package config

import (
	"encoding/json"
	"reflect"
)

// MarshalJSON implements json.Marshaler: the settings as Parse reads them.
func (c Configuration) MarshalJSON() ([]byte, error) { return json.Marshal(tree(reflect.ValueOf(c))) }

// tree returns a value with its structs as maps from the names of settings.
func tree(v reflect.Value) any {
	_, scalar := scalars[v.Type()]
	switch {
	case !scalar && v.Kind() == reflect.Struct:
		settings := map[string]any{}
		for name, field := range fieldsOf(v) {
			settings[name] = tree(field)
		}
		return settings
	case v.Kind() == reflect.Slice && v.Type().Elem().Kind() == reflect.Struct:
		list := make([]any, v.Len())
		for i := range list {
			list[i] = tree(v.Index(i))
		}
		return list
	case v.Kind() == reflect.Slice && v.IsNil():
		return []any{}
	case v.Kind() == reflect.Map && v.IsNil():
		return map[string]any{}
	}
	return v.Interface()
}
