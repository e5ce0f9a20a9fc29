package upstreamregistry

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// front stands before the content of a registry and behaves as its profile says.
type front struct {
	Profile
	content   http.Handler
	realm     string // URL of the token realm
	cdnURL    string
	elsewhere string // URL of the regional host

	mu     sync.Mutex
	tokens map[string]grant
	epoch  int
}

// grant is what a token is good for.
type grant struct {
	user         string
	repositories []string
}

// StartAs starts a registry that behaves like a widespread one, until the test's end.
func StartAs(t TB, p Profile) *Registry {
	t.Helper()
	r := newRegistry()
	f := &front{Profile: p, content: r.content, tokens: map[string]grant{}}
	start := func(h http.Handler) string {
		server := httptest.NewServer(h)
		t.Cleanup(server.Close)
		return server.URL
	}
	r.front = f
	base := start(r)
	r.host = strings.TrimPrefix(base, "http://")
	if p.realmAway {
		base = start(http.HandlerFunc(f.serveToken))
	}
	f.realm = base + p.realmPath
	f.cdnURL = start(http.HandlerFunc(f.serveCDN))
	f.elsewhere = start(http.StripPrefix("/v2/mapped/images", http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		request.URL.Path = "/v2" + request.URL.Path
		f.serveContent(w, request)
	})))
	return r
}

// ForgetTokens has the registry accept no token that it has given so far.
func (r *Registry) ForgetTokens() {
	r.front.mu.Lock()
	defer r.front.mu.Unlock()
	clear(r.front.tokens)
}

func (f *front) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	repository := repositoryOf(r.URL.Path)
	switch {
	case f.realmPath != "" && !f.realmAway && r.URL.Path == f.realmPath:
		f.serveToken(w, r)
	case r.URL.Path == "/v2/" && f.noPing:
		http.NotFound(w, r)
	case r.URL.Path == "/v2/" && f.openPing:
	case r.URL.Path == "/v2/":
		if user, _, _ := f.userOf(r, ""); user == "" {
			f.challenge(w, "")
		}
	case repository == "":
		http.NotFound(w, r)
	case f.admit(w, r, repository):
		f.serve(w, r, repository)
	}
}

func repositoryOf(path string) string {
	path = strings.TrimPrefix(path, "/v2/")
	for _, part := range []string{"/manifests/", "/blobs/", "/tags/"} {
		if at := strings.LastIndex(path, part); at > 0 {
			return path[:at]
		}
	}
	return ""
}

func (f *front) challenge(w http.ResponseWriter, repository string) {
	for _, value := range f.challenges(f, repository) {
		w.Header().Add("WWW-Authenticate", value)
	}
	answer{http.StatusUnauthorized, errorBody("UNAUTHORIZED", "authentication required")}.write(w)
}

// userOf is whose login a request shows, and whether it counts for a repository; shown is
// false without any.
func (f *front) userOf(r *http.Request, repository string) (user string, counts, shown bool) {
	if token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "); ok {
		f.mu.Lock()
		defer f.mu.Unlock()
		g, known := f.tokens[token]
		return g.user, known && (repository == "" || slices.Contains(g.repositories, repository)), true
	}
	user, password, ok := r.BasicAuth()
	if ok && f.realmPath == "" {
		return user, user == Team && password == TeamPassword, true
	}
	return "", false, ok
}

// admit lets a request for a repository through, or answers it.
func (f *front) admit(w http.ResponseWriter, r *http.Request, repository string) bool {
	user, counts, shown := f.userOf(r, repository)
	switch {
	case shown && counts && f.mayRead(user, repository), !shown && f.lenient && f.mayRead("", repository):
		return true
	case shown && counts && f.hides.status != 0:
		f.hides.write(w)
	case shown && f.realmPath == "":
		f.wrong.write(w)
	case shown && f.staleSays != 0 && user == "":
		answer{f.staleSays, errorBody("UNSUPPORTED", "the token is not known")}.write(w)
	default:
		f.challenge(w, repository)
	}
	return false
}

// serveToken is the token realm.
func (f *front) serveToken(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet || r.URL.Path != f.realmPath {
		http.NotFound(w, r)
		return
	}
	user, password, shown := r.BasicAuth()
	scopes := r.URL.Query()["scope"]
	repositories, all := f.readable(user, scopes)
	switch {
	case shown && (user != Team || password != TeamPassword):
		f.wrong.write(w)
	case !shown && !f.Public:
		wrongPassword.write(w)
	case f.allOrNone && !all:
		denied.write(w)
	case f.oneScope && len(scopes) > 1:
		answer{http.StatusBadRequest, `{"error":"one scope only"}`}.write(w)
	default:
		f.mu.Lock()
		f.epoch++
		token := fmt.Sprintf("token-%d", f.epoch)
		f.tokens[token] = grant{user, repositories}
		f.mu.Unlock()
		answer{http.StatusOK, fmt.Sprintf(f.token, token)}.write(w)
	}
}

// serve answers a request that was admitted.
func (f *front) serve(w http.ResponseWriter, r *http.Request, repository string) {
	rest := strings.TrimPrefix(r.URL.Path, "/v2/")
	switch {
	case f.cdn && strings.Contains(r.URL.Path, "/blobs/"):
		http.Redirect(w, r, f.cdnURL+"/"+rest+"?signature=for-one-host", http.StatusTemporaryRedirect)
	case f.regional:
		http.Redirect(w, r, f.elsewhere+"/v2/mapped/images/"+rest+"?"+r.URL.RawQuery, http.StatusTemporaryRedirect)
	case f.headStatus != 0 && r.Method == http.MethodHead && strings.Contains(r.URL.Path, "/manifests/"):
		w.WriteHeader(f.headStatus)
	default:
		f.serveContent(w, r)
	}
}

func (f *front) serveContent(w http.ResponseWriter, r *http.Request) {
	repository := repositoryOf(r.URL.Path)
	switch {
	case strings.HasSuffix(r.URL.Path, "/tags/list"):
		f.serveTags(w, r, repository)
	default:
		f.content.ServeHTTP(w, r)
	}
}

// serveCDN is the host that blobs are redirected to: it knows URLs that were signed for it, and
// ranges, and no logins.
func (f *front) serveCDN(w http.ResponseWriter, r *http.Request) {
	switch {
	case r.Header.Get("Authorization") != "" || r.URL.Query().Get("signature") != "for-one-host":
		http.Error(w, "<Error><Code>InvalidArgument</Code></Error>", http.StatusBadRequest)
		return
	case f.cdnGetOnly && r.Method == http.MethodHead:
		http.Error(w, "<Error><Code>SignatureDoesNotMatch</Code></Error>", http.StatusForbidden)
		return
	}
	inner := httptest.NewRecorder()
	f.content.ServeHTTP(inner, httptest.NewRequest(http.MethodGet, "/v2"+r.URL.Path, nil))
	if inner.Code != http.StatusOK {
		http.Error(w, "<Error><Code>NoSuchKey</Code></Error>", http.StatusNotFound)
		return
	}
	w.Header().Set("Content-Type", "binary/octet-stream")
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(inner.Body.Bytes()))
}

// serveTags answers with a page of the tag list.
func (f *front) serveTags(w http.ResponseWriter, r *http.Request, repository string) {
	inner := httptest.NewRecorder()
	f.content.ServeHTTP(inner, httptest.NewRequest(http.MethodGet, "/v2/"+repository+"/tags/list", nil))
	var list struct{ Tags []string }
	if inner.Code != http.StatusOK || json.Unmarshal(inner.Body.Bytes(), &list) != nil {
		answer{inner.Code, inner.Body.String()}.write(w)
		return
	}
	query := r.URL.Query()
	n, _ := strconv.Atoi(query.Get("n"))
	if f.maxPage > 0 && n > f.maxPage {
		answer{http.StatusBadRequest, errorBody("PAGINATION_NUMBER_INVALID", "invalid number of results requested")}.write(w)
		return
	}
	tags := list.Tags
	if last := query.Get("last"); last != "" && !f.ignoresN {
		tags = tags[slices.Index(tags, last)+1:]
	}
	if f.pageSize > 0 {
		n = f.pageSize
	}
	if n > 0 && n < len(tags) && !f.ignoresN {
		tags = tags[:n]
		next := url.Values{"n": {strconv.Itoa(n)}, "last": {tags[n-1]}}
		w.Header().Set("Link", fmt.Sprintf(f.link, repository, next.Encode()))
	}
	body, _ := json.Marshal(tags)
	answer{http.StatusOK, fmt.Sprintf(`{"name":%q,%s"tags":%s}`, repository, f.tagsExtra, body)}.write(w)
}
