package upstream

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"weir.dev/weir/internal/reference"
)

// tagPageSize is how many tags a page is asked to hold; registries may give fewer.
const tagPageSize = 1000

// tagListCalls is how many times as long as one call a whole tag list may take.
const tagListCalls = 10

// tagPage is a page of a tag list.
type tagPage struct {
	Tags []string `json:"tags"`
}

// tags follows the pages of a tag list. Its bounds are on pages, on tags and
// on each page's size; a page met twice ends in an error instead of a loop.
func (s *source) tags(ctx context.Context) ([]string, error) {
	limits := s.client.opts.Limits
	ctx, cancel := context.WithTimeout(ctx, tagListCalls*s.client.opts.Timeouts.Call)
	defer cancel()
	next := fmt.Sprintf("/tags/list?n=%d", tagPageSize)
	seen := map[string]bool{}
	all := []string{}
	for pages := 1; next != ""; pages++ {
		if pages > limits.TagPages {
			return nil, &Error{Code: CodeTooLarge, Text: fmt.Sprintf("tag list exceeds the limit of %d pages", limits.TagPages)}
		}
		if seen[next] {
			return nil, &Error{Code: CodeProtocol, Text: "tag list leads back to a page already read"}
		}
		seen[next] = true
		page, following, err := s.tagPage(ctx, next)
		if err != nil {
			return nil, err
		}
		for _, t := range page {
			if t == "" || reference.ValidTag(t) {
				all = append(all, t)
			}
		}
		if len(all) > limits.Tags {
			return nil, &Error{Code: CodeTooLarge, Text: fmt.Sprintf("tag list exceeds the limit of %d tags", limits.Tags)}
		}
		next = following
	}
	return all, nil
}

// tagPage reads one page, and where the next one is.
func (s *source) tagPage(ctx context.Context, path string) (tags []string, next string, err error) {
	ctx, cancel := context.WithTimeout(ctx, s.client.opts.Timeouts.Call)
	defer cancel()
	ans, err := s.request(ctx, KindTags, http.MethodGet, path, "application/json", s.client.opts.Limits.TagPage)
	if err != nil {
		return nil, "", err
	}
	var page tagPage
	if err := json.Unmarshal(ans.body, &page); err != nil {
		return nil, "", &Error{Code: CodeProtocol, Text: "the tag list is not readable: " + clean(bounded(err.Error(), 200))}
	}
	link := nextLink(ans.header.Values("Link"))
	if link == "" {
		return page.Tags, "", nil
	}
	next, err = s.following(link)
	return page.Tags, next, err
}

// following turns the target of a Link into a path below the repository. Only
// its query is taken: the next page of a tag list is the same list, and a
// registry behind a proxy often gets its own host or path prefix wrong.
func (s *source) following(link string) (string, error) {
	u, err := url.Parse(link)
	if err != nil {
		return "", &Error{Code: CodeProtocol, Text: "the tag list names a malformed next page"}
	}
	if u.Host != "" && !strings.EqualFold(u.Host, s.Host) {
		return "", &Error{Code: CodeProtocol, Text: "the tag list continues on another host: " + clean(bounded(u.Host, 100))}
	}
	return "/tags/list?" + u.RawQuery, nil
}

// nextLink finds the target of rel="next" in Link headers (RFC 8288).
func nextLink(values []string) string {
	for _, v := range values {
		if len(v) > maxChallengeBytes {
			continue
		}
		for v != "" {
			_, rest, ok := strings.Cut(v, "<")
			if !ok {
				break
			}
			target, params, ok := strings.Cut(rest, ">")
			if !ok {
				break
			}
			var mine string
			mine, v = untilNextLink(params)
			if isNext(mine) {
				return target
			}
		}
	}
	return ""
}

// untilNextLink splits the parameters of one link from the links after it;
// commas inside quotes do not separate.
func untilNextLink(s string) (params, rest string) {
	quoted := false
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '\\' && quoted:
			i++
		case s[i] == '"':
			quoted = !quoted
		case s[i] == ',' && !quoted:
			return s[:i], s[i+1:]
		}
	}
	return s, ""
}

// isNext says whether link parameters hold rel=next; rel may list several words.
func isNext(params string) bool {
	for _, p := range strings.Split(params, ";") {
		name, value, _ := strings.Cut(p, "=")
		if !strings.EqualFold(strings.TrimSpace(name), "rel") {
			continue
		}
		for _, word := range strings.Fields(strings.Trim(strings.TrimSpace(value), `"`)) {
			if strings.EqualFold(word, "next") {
				return true
			}
		}
	}
	return false
}
