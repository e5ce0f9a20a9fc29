package upstream

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"

	"weir.dev/weir/internal/foreigntext"
	"weir.dev/weir/internal/reference"
)

// tagPageSizes are the requested numbers of tags in a page; registries may return fewer. Some
// refuse a number above their own maximum, and some any: the next one is tried then. 0 leaves
// it to the registry.
var tagPageSizes = []int{1000, 100, 0}

// tagListCalls is how many times as long as one call a whole tag list may take.
const tagListCalls = 10

// tagList is a tag list while it is read.
type tagList struct {
	*source
	tags []string
	read map[string]bool // pages, by path
}

// tagPage is a page of a tag list.
type tagPage struct {
	Tags []string `json:"tags"`

	next string // query of the next page, "" when none is named
}

// listTags follows the pages of a tag list. Its bounds are on pages, on tags and on each
// page's size; a page met twice ends in an error instead of a loop.
func (s *source) listTags(ctx context.Context) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, tagListCalls*s.client.opts.Timeouts.Call.Duration)
	defer cancel()
	list := &tagList{source: s, tags: []string{}, read: map[string]bool{}}
	page, size, err := list.first(ctx)
	for err == nil {
		before := len(list.tags)
		if err := list.add(page.Tags); err != nil {
			return nil, err
		}
		switch {
		case page.next != "":
			page, err = list.page(ctx, page.next)
		case size > 0 && len(page.Tags) == size && len(list.tags) > before:
			// Naming the next page is optional, so a full page may not be the last.
			page, err = list.after(ctx, size, page.Tags[size-1])
		default:
			return list.tags, nil
		}
	}
	return nil, err
}

// first reads the first page, and returns how many tags it was asked to hold.
func (l *tagList) first(ctx context.Context) (page tagPage, size int, err error) {
	for _, size = range tagPageSizes {
		query := ""
		if size > 0 {
			query = fmt.Sprintf("n=%d", size)
		}
		page, err = l.page(ctx, query)
		if err == nil || !asError(err).aboutPage() {
			break
		}
	}
	return page, size, err
}

// after reads the page after a tag, which is empty if there is none. Registries that know no
// such page refuse, or begin anew.
func (l *tagList) after(ctx context.Context, size int, last string) (tagPage, error) {
	page, err := l.page(ctx, fmt.Sprintf("last=%s&n=%d", url.QueryEscape(last), size))
	if err != nil {
		if e := asError(err); e.aboutPage() && e.HTTPStatus < http.StatusInternalServerError {
			err = nil
		}
		return tagPage{}, err
	}
	known := make(map[string]bool, len(l.tags))
	for _, t := range l.tags {
		known[t] = true
	}
	if !slices.ContainsFunc(page.Tags, func(t string) bool { return !known[t] }) {
		return tagPage{}, nil
	}
	return page, nil
}

// add appends the tags of a page.
func (l *tagList) add(tags []string) error {
	for _, t := range tags {
		if t == "" || reference.ValidTag(t) {
			l.tags = append(l.tags, t)
		}
	}
	if most := l.client.opts.Limits.TagListLength; len(l.tags) > most {
		return &Error{Code: CodeTooLarge, Text: fmt.Sprintf("tag list exceeds the limit of %d tags", most)}
	}
	return nil
}

// page reads one page.
func (l *tagList) page(ctx context.Context, query string) (tagPage, error) {
	ctx, cancel := context.WithTimeout(ctx, l.client.opts.Timeouts.Call.Duration)
	defer cancel()
	path := "/tags/list"
	if query != "" {
		path += "?" + query
	}
	if l.read[path] {
		return tagPage{}, protocol("tag list leads back to a page already read")
	}
	if most := l.client.opts.bounds.tagPages; len(l.read) >= most {
		return tagPage{}, &Error{Code: CodeTooLarge, Text: fmt.Sprintf("tag list exceeds the limit of %d pages", most)}
	}
	l.read[path] = true
	ans, err := l.request(ctx, KindTags, path, "application/json", l.client.opts.bounds.tagPage)
	if err != nil {
		return tagPage{}, err
	}
	var page tagPage
	if err := json.Unmarshal(ans.body, &page); err != nil {
		return tagPage{}, protocol("the tag list is not readable: %s", foreigntext.Clean(err.Error(), 200))
	}
	page.next, err = nextPage(ans.header.Values("Link"))
	return page, err
}

// aboutPage reports whether a page of a tag list may have been refused for how it was asked
// for: any answer that is not about the login, the rate, the repository or passing trouble.
func (e *Error) aboutPage() bool {
	switch e.HTTPStatus {
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusRequestTimeout, http.StatusTooManyRequests:
		return false
	case http.StatusNotFound:
		return !e.worded || e.Code != CodeNameUnknown
	case http.StatusInternalServerError, http.StatusNotImplemented:
		return true
	}
	return e.HTTPStatus >= 400 && e.HTTPStatus < 500
}
