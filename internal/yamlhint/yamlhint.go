// Package yamlhint provides hints for errors of YAML parsers, which name what they stumbled
// over and not what to change.
package yamlhint

import (
	"fmt"
	"strings"
)

// hints are remedies for an error, by a part of its text. The first match counts.
var hints = []struct{ part, hint string }{
	{"found character that cannot start any token", "indent with spaces, since tabs are not allowed, and put text that begins with @, ` or % in quotes"},
	{"found a tab character", "indent with spaces, since tabs are not allowed"},
	{"did not find expected alphabetic or numeric character", "put text that begins with * or & in quotes"},
	{"unknown anchor", "put text that begins with * in quotes"},
	{"mapping values are not allowed", "give the settings of a section the same indentation, and put text with a colon and a space in it in quotes"},
	{"did not find expected key", "give the settings of a section the same indentation"},
	{"could not find expected ':'", "a setting is a name, a colon, a space and a value"},
}

// Add returns err with a hint behind its text, or err where there is none.
func Add(err error) error {
	if err == nil {
		return nil
	}
	for _, h := range hints {
		if strings.Contains(err.Error(), h.part) {
			return fmt.Errorf("%w (%s)", err, h.hint)
		}
	}
	return err
}
