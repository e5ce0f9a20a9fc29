package ociregistry

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
)

// page selects a part of a list: at most n entries after last.
type page struct {
	n    int // -1 is all
	last string
}

// parsePage reads n and last. preset is the default of n.
func parsePage(query url.Values, preset int) (page, error) {
	p := page{n: preset, last: query.Get("last")}
	if !query.Has("n") {
		return p, nil
	}
	n, err := strconv.Atoi(query.Get("n"))
	if err != nil || n < 0 {
		return page{}, &Error{
			Code: CodeUnsupported, Status: http.StatusBadRequest, Message: "n must be a number of entries, 0 or more",
			Detail: map[string]string{"n": query.Get("n")},
		}
	}
	p.n = n
	return p, nil
}

// link sets the Link header to the next page.
func (p page) link(h http.Header, path, last string) {
	query := url.Values{"n": {strconv.Itoa(p.n)}, "last": {last}}
	linkNext(h, path, query)
}

// linkNext sets the Link header to the next page, which has the given query.
func linkNext(h http.Header, path string, query url.Values) {
	h.Set("Link", "<"+path+"?"+query.Encode()+`>; rel="next"`)
}

// answerJSON sends a value as JSON.
func (x *exchange) answerJSON(contentType string, value any) error {
	content, err := json.Marshal(value)
	if err != nil {
		return err
	}
	x.writeJSON(contentType, content)
	return nil
}

// writeJSON sends JSON.
func (x *exchange) writeJSON(contentType string, content []byte) {
	header := x.w.Header()
	header.Set("Content-Type", contentType)
	header.Set("Content-Length", strconv.Itoa(len(content)))
	x.w.WriteHeader(http.StatusOK)
	if !x.isHead() {
		_, _ = x.w.Write(content) // the client is gone
	}
}
