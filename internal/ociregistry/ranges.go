package ociregistry

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
)

// span is a range of bytes.
type span struct{ start, length int64 }

// contentRange returns the Content-Range header of a span.
func (s span) contentRange(size int64) string {
	return fmt.Sprintf("bytes %d-%d/%d", s.start, s.start+s.length-1, size)
}

// parseRange parses a Range header for content of a size. partial is false if the whole content is
// to be sent: the header is absent, has several ranges (which servers need not support) or is
// invalid (which servers must ignore, RFC 9110 §14.2). ok is false if the range cannot be
// satisfied.
func parseRange(header string, size int64) (part span, partial, ok bool) {
	whole := span{length: size}
	spec, isBytes := strings.CutPrefix(header, "bytes=")
	from, to, isSpan := strings.Cut(strings.TrimSpace(spec), "-")
	if !isBytes || !isSpan || strings.Contains(spec, ",") {
		return whole, false, true
	}
	if size == 0 {
		// Empty content: clients that always send a range get the empty body.
		return whole, false, true
	}
	start, startOK := parseOffset(from)
	end, endOK := parseOffset(to)
	switch {
	case from == "" && endOK: // the last bytes
		if end == 0 {
			return whole, false, false
		}
		length := min(end, size)
		return span{start: size - length, length: length}, true, true
	case !startOK || to != "" && !endOK || to != "" && end < start:
		return whole, false, true
	case start >= size:
		return whole, false, false
	case to == "":
		return span{start: start, length: size - start}, true, true
	}
	end = min(end, size-1)
	return span{start: start, length: end - start + 1}, true, true
}

// parseContentRange parses the Content-Range header of a chunk: "first-last", both included, in
// bytes. It also accepts HTTP's "bytes first-last/size", which some clients send.
func parseContentRange(header string) (first, last int64, err error) {
	text := strings.TrimSpace(header)
	if rest, ok := strings.CutPrefix(text, "bytes"); ok {
		text, _, _ = strings.Cut(strings.TrimLeft(rest, " ="), "/")
	}
	from, to, _ := strings.Cut(text, "-")
	first, firstOK := parseOffset(from)
	last, lastOK := parseOffset(to)
	if !firstOK || !lastOK || last < first {
		return 0, 0, fmt.Errorf("not a range of bytes FIRST-LAST: %.100q", header)
	}
	return first, last, nil
}

// parseOffset parses an offset in decimal digits; ok is false if it overflows.
func parseOffset(s string) (int64, bool) {
	for i := 0; i < len(s); i++ {
		if s[i] < '0' || s[i] > '9' {
			return 0, false
		}
	}
	n, err := strconv.ParseInt(s, 10, 64)
	return n, err == nil
}

// uploadRange returns the Range header of an upload: its first and its last byte. An empty
// upload has no such form; clients expect "0-0" for it.
func uploadRange(size int64) string { return "0-" + strconv.FormatInt(max(size-1, 0), 10) }

// hasTag reports whether an If-None-Match header has an entity tag, with or without quotes, weak
// or not: clients send digests in all of these forms.
func hasTag(headers []string, digest string) bool {
	for _, header := range headers {
		for entry := range strings.SplitSeq(header, ",") {
			entry = strings.TrimPrefix(strings.TrimSpace(entry), "W/")
			if entry == "*" || strings.Trim(entry, `"`) == digest {
				return true
			}
		}
	}
	return false
}

// wantsPart reports whether the Range header applies: If-Range may restrict it to another
// entity tag.
func wantsPart(r *http.Request, etag string) bool {
	condition := r.Header.Get("If-Range")
	return condition == "" || condition == etag
}
