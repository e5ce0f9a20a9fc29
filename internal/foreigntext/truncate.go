// Package foreigntext bounds text of other programs before it is shown, logged or stored.
package foreigntext

import "strings"

// Truncate returns s if it has at most n bytes, and otherwise its first n bytes, without a
// character that would be cut in two, followed by an ellipsis.
func Truncate(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n], "") + "…"
}
