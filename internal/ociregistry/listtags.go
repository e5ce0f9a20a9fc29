package ociregistry

// listTags serves the tag list: status.tags, sorted bytewise, so that paging by the last
// tag seen neither skips nor repeats any.
func (x *exchange) listTags() error {
	p, err := parsePage(x.r.URL.Query(), -1)
	if err != nil {
		return err
	}
	tags, more, err := x.Directory.Tags(x.context(), x.repo, p.last, p.n)
	if err != nil {
		return err
	}
	if more && len(tags) > 0 {
		p.link(x.w.Header(), versionPrefix+x.repo.String()+"/tags/list", tags[len(tags)-1])
	}
	if tags == nil {
		tags = []string{}
	}
	return x.answerJSON("application/json", struct {
		Name string   `json:"name"`
		Tags []string `json:"tags"`
	}{x.repo.String(), tags})
}

const (
	// defaultRepositories is the catalog's page size for requests without n.
	defaultRepositories = 100
	// maxRepositories is the largest page of the catalog; the Link header has the next one.
	maxRepositories = 1000
)

// listRepositories serves the catalog: the repositories that the caller may list.
func (x *exchange) listRepositories() error {
	p, err := parsePage(x.r.URL.Query(), defaultRepositories)
	if err != nil {
		return err
	}
	if err := x.Access.AllowCatalog(x.caller); err != nil {
		return err
	}
	p.n = min(p.n, maxRepositories)
	var names []string
	more := false
	if p.n > 0 {
		if names, more, err = x.Directory.Repositories(x.context(), x.caller.User, p.last, p.n); err != nil {
			return err
		}
	}
	if more && len(names) > 0 {
		p.link(x.w.Header(), versionPrefix+"_catalog", names[len(names)-1])
	}
	if names == nil {
		names = []string{}
	}
	return x.answerJSON("application/json", struct {
		Repositories []string `json:"repositories"`
	}{names})
}
