package upstream

import (
	"math"
	"strconv"
	"strings"
)

// contentRange is a Content-Range header in bytes: those from first to last, both
// included, of a whole of size bytes (-1 when the server does not tell).
type contentRange struct{ first, last, size int64 }

// parseContentRange reads "bytes 5-9/10" or "bytes 5-9/*" (RFC 9110, 14.4).
func parseContentRange(value string) (contentRange, bool) {
	unit, rest, ok := strings.Cut(value, " ")
	if !ok || !strings.EqualFold(unit, "bytes") {
		return contentRange{}, false
	}
	span, whole, ok := strings.Cut(rest, "/")
	if !ok {
		return contentRange{}, false
	}
	from, to, ok := strings.Cut(span, "-")
	if !ok {
		return contentRange{}, false
	}
	r := contentRange{size: -1}
	var fromOK, toOK, sizeOK bool
	r.first, fromOK = decimal(from)
	r.last, toOK = decimal(to)
	if whole == "*" {
		sizeOK = true
	} else {
		r.size, sizeOK = decimal(whole)
	}
	if !fromOK || !toOK || !sizeOK || r.last < r.first || r.size >= 0 && r.last >= r.size {
		return contentRange{}, false
	}
	return r, true
}

// decimal reads digits and nothing else. The largest number is left out, so that one
// can be added to what is read.
func decimal(s string) (int64, bool) {
	if s == "" || strings.Trim(s, "0123456789") != "" {
		return 0, false
	}
	n, err := strconv.ParseInt(s, 10, 64)
	return n, err == nil && n < math.MaxInt64
}
