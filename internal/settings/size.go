// Package settings provides the types of settings in the configuration file and the checks that
// their sections share.
//
// A section is a struct of the component that it configures, with json tags, a function that
// returns its defaults and a method Validate that reports every mistake at its path. Fields with
// the tag "-" are no settings: the composition of the process sets them.
package settings

import (
	"encoding/json"

	"k8s.io/apimachinery/pkg/api/resource"
)

// Size is a number of bytes. The file has a number or a quantity such as 64Ki or 8Mi.
type Size int64

// String returns the size as a quantity, such as "8Mi".
func (s Size) String() string { return resource.NewQuantity(int64(s), resource.BinarySI).String() }

// MarshalJSON implements json.Marshaler.
func (s Size) MarshalJSON() ([]byte, error) { return json.Marshal(s.String()) }
