package config

import (
	"fmt"
	"strings"
)

// hints are what helps against errors of the YAML parser that do not say it themselves, by a
// part of their text.
var hints = []struct{ part, hint string }{
	{"found character that cannot start any token", "indent with spaces, since tabs are not allowed, and put text that begins with @, ` or % in quotes"},
	{"found a tab character", "indent with spaces, since tabs are not allowed"},
	{"did not find expected alphabetic or numeric character", "put text that begins with * or & in quotes"},
	{"unknown anchor", "put text that begins with * in quotes"},
	{"mapping values are not allowed", "give the settings of a section the same indentation, and put text with a colon and a space in it in quotes"},
	{"did not find expected key", "give the settings of a section the same indentation"},
	{"could not find expected ':'", "a setting is a name, a colon, a space and a value"},
}

// notYAML wraps an error of the YAML parser, with what helps.
func notYAML(err error) error {
	for _, h := range hints {
		if strings.Contains(err.Error(), h.part) {
			return fmt.Errorf("the configuration is not valid YAML: %w (%s)", err, h.hint)
		}
	}
	return fmt.Errorf("the configuration is not valid YAML: %w", err)
}
