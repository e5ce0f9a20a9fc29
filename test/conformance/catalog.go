package conformance

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
)

// Docker Registry HTTP API V2, Listing Repositories; the specification reserves the name
// (extensions/README.md).
var catalogChecks = []check{
	{"lists", catalogLists},
	{"paging", catalogPaging},
	{"n-zero-or-invalid", catalogInvalid},
}

func (c *C) catalogPage(a *answer) []string {
	c.Helper()
	c.must(a, http.StatusOK)
	var list struct {
		Repositories *[]string `json:"repositories"`
	}
	if err := json.Unmarshal(a.body, &list); err != nil || list.Repositories == nil {
		c.Fatalf("%s: the body is no list of repositories: %s", a.asked, excerpt(a.body))
	}
	return *list.Repositories
}

func (c *C) catalogFrom(target string) []string {
	c.Helper()
	var all []string
	for target != "" {
		a := c.do(http.MethodGet, target)
		all = append(all, c.catalogPage(a)...)
		target = c.nextLink(a)
	}
	return all
}

// catalogRepositories are some, in order, among whatever else there is.
func catalogRepositories(c *C) []string {
	var names []string
	for range 5 {
		names = append(names, tagRepository(c, "latest"))
	}
	slices.Sort(names)
	return names
}

func catalogLists(c *C) {
	want := catalogRepositories(c)
	got := c.catalogFrom("/v2/_catalog")
	for _, name := range want {
		if !slices.Contains(got, name) {
			c.Errorf("%s is not in the catalog of %d repositories", name, len(got))
		}
	}
}

// Other checks push while this one reads, so only its own repositories count.
func catalogPaging(c *C) {
	want := catalogRepositories(c)
	for _, n := range []int{1, 3, 1000} {
		got := c.catalogFrom(fmt.Sprintf("/v2/_catalog?n=%d&last=%s", n, want[0]))
		if slices.Contains(got, want[0]) {
			c.Errorf("n=%d&last=%s lists that repository", n, want[0])
		}
		for _, name := range want[1:] {
			if count := count(got, name); count != 1 {
				c.Errorf("following links with n=%d finds %s %d times", n, name, count)
			}
		}
	}
	if page := c.catalogPage(c.do(http.MethodGet, "/v2/_catalog?n=2")); len(page) != 2 {
		c.Errorf("n=2 lists %d repositories", len(page))
	}
}

func count(all []string, one string) int {
	n := 0
	for _, s := range all {
		if s == one {
			n++
		}
	}
	return n
}

func catalogInvalid(c *C) {
	a := c.do(http.MethodGet, "/v2/_catalog?n=0")
	if c.want(a, http.StatusOK, http.StatusBadRequest) && a.status == http.StatusOK {
		c.wantHeader(a, "Link", "")
	}
	for _, n := range []string{"-1", "x", "99999999999999999999999"} {
		c.want(c.do(http.MethodGet, addQuery("/v2/_catalog", "n", n)), http.StatusBadRequest, http.StatusOK)
	}
}
