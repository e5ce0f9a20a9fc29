package conformance

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
)

func tagsPath(repo string) string { return "/v2/" + repo + "/tags/list" }

// tagsPage reads one answer: Listing Tags.
func (c *C) tagsPage(repo string, a *answer) []string {
	c.Helper()
	c.must(a, http.StatusOK)
	if t := a.header.Get("Content-Type"); !strings.HasPrefix(t, "application/json") {
		c.Errorf("%s: Content-Type is %q, want application/json", a.asked, t)
	}
	var list struct {
		Name string    `json:"name"`
		Tags *[]string `json:"tags"`
	}
	if err := json.Unmarshal(a.body, &list); err != nil || list.Tags == nil {
		c.Fatalf("%s: the body is no list of tags: %s", a.asked, excerpt(a.body))
	}
	if list.Name != repo {
		c.Errorf("%s: the list's name is %q, want %q", a.asked, list.Name, repo)
	}
	return *list.Tags
}

// tags are all tags of a repository, over all pages.
func (c *C) tags(repo string) []string {
	c.Helper()
	return c.tagsFrom(repo, tagsPath(repo))
}

func (c *C) tagsFrom(repo, target string) []string {
	c.Helper()
	var all []string
	for target != "" {
		a := c.do(http.MethodGet, target)
		all = append(all, c.tagsPage(repo, a)...)
		target = c.nextLink(a)
	}
	return all
}

// wantEqual compares lists of tags, in order.
func (c *C) wantEqual(what string, got, want []string) {
	c.Helper()
	if !slices.Equal(got, want) {
		c.Errorf("%s: %q, want %q", what, got, want)
	}
}

var tagListChecks = []check{
	{"all", tagsAll},
	{"order", tagsOrder},
	{"order-of-cases", tagsCases},
	{"follows-pushes-and-deletes", tagsFollow},
	{"empty", tagsEmpty},
	{"unknown-repository", tagsUnknown},
	{"by-digest-makes-none", tagsByDigest},
	{"of-this-repository", tagsRepository},
}

// tagRepository is a fresh repository with tags, all of one manifest.
func tagRepository(c *C, tags ...string) string {
	repo := c.freshRepository()
	c.push(repo, c.content.index(nil), tags...)
	return repo
}

// Listing Tags (end-8a).
func tagsAll(c *C) {
	repo := tagRepository(c, "v2", "v1", "latest")
	c.wantEqual("tags", c.tags(repo), []string{"latest", "v1", "v2"})
}

// Listing Tags: "the tags MUST be in lexical order".
func tagsOrder(c *C) {
	repo := tagRepository(c, "b", "10", "a", "9", "1.0", "a-b", "a.b", "a0", "z", "aa", "_x")
	got := c.tags(repo)
	want := slices.Sorted(slices.Values(got))
	c.wantEqual("order of tags without uppercase", got, want)
	if len(got) != 11 {
		c.Errorf("%d tags of 11: %q", len(got), got)
	}
}

// Listing Tags: "in lexical order (i.e. case-insensitive alphanumeric order)". Registries
// sort by bytes or by letters; a client cannot rely on either, but on one order that
// paging and the whole list have in common.
func tagsCases(c *C) {
	repo := tagRepository(c, "b", "A", "C", "a", "B", "c", "aB", "Ab")
	got := c.tags(repo)
	byBytes := slices.Sorted(slices.Values(got))
	byLetters := slices.SortedFunc(slices.Values(got), func(a, b string) int {
		if order := strings.Compare(strings.ToLower(a), strings.ToLower(b)); order != 0 {
			return order
		}
		return strings.Compare(a, b)
	})
	if len(got) != 8 || !slices.Equal(got, byBytes) && !slices.Equal(got, byLetters) {
		c.Errorf("tags %q are sorted neither by bytes nor by letters", got)
	}
	var paged []string
	for last := ""; len(paged) < 20; {
		page := c.tagsPage(repo, c.do(http.MethodGet, addQuery(tagsPath(repo), "n", "1", "last", last)))
		if len(page) == 0 {
			break
		}
		last = page[0]
		paged = append(paged, page...)
	}
	c.wantEqual("pages of one tag each", paged, got)
}

func tagsFollow(c *C) {
	repo, o := c.freshRepository(), c.content.image()
	c.push(repo, o, "one")
	c.wantEqual("one tag", c.tags(repo), []string{"one"})
	c.must(c.put(repo, o, "two"), http.StatusCreated)
	c.wantEqual("two tags", c.tags(repo), []string{"one", "two"})
	c.must(c.do(http.MethodDelete, manifestPath(repo, "one")), http.StatusAccepted)
	c.wantEqual("after a delete", c.tags(repo), []string{"two"})
	c.must(c.put(repo, o, "one"), http.StatusCreated)
	c.wantEqual("after another push", c.tags(repo), []string{"one", "two"})
}

// Listing Tags: "The list of tags MAY be empty", a list nevertheless.
func tagsEmpty(c *C) {
	repo := tagRepository(c, "only")
	c.must(c.do(http.MethodDelete, manifestPath(repo, "only")), http.StatusAccepted)
	c.wantEqual("after the last tag", c.tags(repo), nil)
	a := c.do(http.MethodGet, addQuery(tagsPath(repo), "n", "5"))
	c.wantEqual("a page of nothing", c.tagsPage(repo, a), nil)
	c.wantHeader(a, "Link", "")
}

// Endpoints (end-8a), Error Codes (code-9).
func tagsUnknown(c *C) {
	c.wantError(c.do(http.MethodGet, tagsPath(c.freshRepository())), http.StatusNotFound, "NAME_UNKNOWN")
	c.wantError(c.do(http.MethodGet, addQuery(tagsPath(c.freshRepository()), "n", "0")), http.StatusNotFound, "NAME_UNKNOWN")
}

// A push by digest makes no tag. Whether it makes a repository that has tags to list is
// the registry's choice.
func tagsByDigest(c *C) {
	repo, o := c.freshRepository(), c.content.image()
	c.push(repo, o)
	a := c.do(http.MethodGet, tagsPath(repo))
	if c.want(a, http.StatusOK, http.StatusNotFound) && a.status == http.StatusOK {
		c.wantEqual("tags after a push by digest", c.tagsPage(repo, a), nil)
	}
	c.must(c.put(repo, o, "tag"), http.StatusCreated)
	c.wantEqual("tags", c.tags(repo), []string{"tag"})
}

func tagsRepository(c *C) {
	one, other := tagRepository(c, "one"), tagRepository(c, "other")
	c.wantEqual("tags of one repository", c.tags(one), []string{"one"})
	c.wantEqual("tags of another", c.tags(other), []string{"other"})
}

var tagPagingChecks = []check{
	{"n", pagingN},
	{"n-zero", pagingZero},
	{"n-invalid", pagingInvalid},
	{"n-huge", pagingHuge},
	{"last", pagingLast},
	{"last-without-n", pagingLastOnly},
	{"last-unknown", pagingLastUnknown},
	{"link", pagingLink},
	{"hundreds", pagingHundreds},
}

// pagingTags are in order.
var pagingTags = []string{"t0", "t1", "t2", "t3", "t4", "t5", "t6"}

// page reads one page that has as many tags as were asked for, or a Link to the rest.
func (c *C) page(repo, n, last string) (*answer, []string) {
	c.Helper()
	target := addQuery(tagsPath(repo), "n", n)
	if last != "" {
		target = addQuery(target, "last", last)
	}
	a := c.do(http.MethodGet, target)
	return a, c.tagsPage(repo, a)
}

// Listing Tags (end-8b): n tags, fewer only at the end or with a Link.
func pagingN(c *C) {
	repo := tagRepository(c, pagingTags...)
	for n := 1; n <= len(pagingTags)+2; n++ {
		a, got := c.page(repo, fmt.Sprint(n), "")
		want := pagingTags[:min(n, len(pagingTags))]
		if c.nextLink(a) != "" && len(got) < len(want) {
			want = want[:len(got)]
		}
		c.wantEqual(fmt.Sprintf("n=%d", n), got, want)
	}
}

// Listing Tags: "When n is zero, this endpoint MUST return an empty list, and MUST NOT
// include a Link header".
func pagingZero(c *C) {
	repo := tagRepository(c, pagingTags...)
	for _, last := range []string{"", "t3"} {
		a, got := c.page(repo, "0", last)
		c.wantEqual("n=0", got, nil)
		c.wantHeader(a, "Link", "")
	}
}

// Listing Tags: n is "an integer specifying the number of tags requested".
func pagingInvalid(c *C) {
	repo := tagRepository(c, pagingTags...)
	for _, n := range []string{"-1", "x", "1.5", "0x2", "99999999999999999999999", ""} {
		a := c.do(http.MethodGet, addQuery(tagsPath(repo), "n", n))
		c.want(a, http.StatusBadRequest, http.StatusOK)
		if a.status == http.StatusOK && n != "" && n[0] == '-' {
			c.Errorf("%s: status 200 for a negative number", a.asked)
		}
	}
}

func pagingHuge(c *C) {
	repo := tagRepository(c, pagingTags...)
	for _, n := range []string{"1000", "1000000", "2147483647"} {
		c.wantEqual("n="+n, c.tagsFrom(repo, addQuery(tagsPath(repo), "n", n)), pagingTags)
	}
}

// Listing Tags: "beginning non-inclusively with <tagname>".
func pagingLast(c *C) {
	repo := tagRepository(c, pagingTags...)
	for i, last := range pagingTags {
		_, got := c.page(repo, "2", last)
		c.wantEqual("n=2&last="+last, got, pagingTags[i+1:min(i+3, len(pagingTags))])
	}
}

// Listing Tags: "When using the last query parameter, the n parameter is OPTIONAL".
func pagingLastOnly(c *C) {
	repo := tagRepository(c, pagingTags...)
	for i, last := range pagingTags {
		c.wantEqual("last="+last, c.tagsFrom(repo, addQuery(tagsPath(repo), "last", last)), pagingTags[i+1:])
	}
}

// The last tag of a page may have been deleted since; the list goes on after its place.
func pagingLastUnknown(c *C) {
	repo := tagRepository(c, pagingTags...)
	for last, want := range map[string][]string{"t2a": pagingTags[3:5], "s": pagingTags[:2], "t": pagingTags[:2], "u": nil, "t6": nil} {
		a, got := c.page(repo, "2", last)
		c.wantEqual("n=2&last="+last, got, want)
		if want == nil {
			c.wantHeader(a, "Link", "")
		}
	}
}

// Listing Tags: Link headers lead to every tag once.
func pagingLink(c *C) {
	repo := tagRepository(c, pagingTags...)
	for _, n := range []string{"1", "2", "3", "7", "100"} {
		c.wantEqual("following links from n="+n, c.tagsFrom(repo, addQuery(tagsPath(repo), "n", n)), pagingTags)
	}
}

func pagingHundreds(c *C) {
	repo, o := c.freshRepository(), c.content.index(nil)
	var want []string
	for i := range 130 {
		want = append(want, fmt.Sprintf("tag-%03d", i))
		c.must(c.put(repo, o, want[i]), http.StatusCreated)
	}
	c.wantEqual("all tags", c.tags(repo), want)
	c.wantEqual("by pages", c.tagsFrom(repo, addQuery(tagsPath(repo), "n", "17")), want)
	_, got := c.page(repo, "100", "tag-025")
	c.wantEqual("n=100&last=tag-025", got, want[26:126])
}
