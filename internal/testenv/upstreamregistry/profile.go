package upstreamregistry

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// Profile is one of the widespread registries as a client sees it: how it differs in what
// surrounds manifests and blobs. Repositories in private/ are read by the user Team only.
type Profile struct {
	Name string
	// Public reports whether other repositories can be read without a login.
	Public bool

	// challenges are the values of WWW-Authenticate of a 401: to /v2/ if the repository is "".
	// f.realm is the URL of the token realm.
	challenges func(f *front, repository string) []string
	realmPath  string // of the token realm; "" for basic authentication
	realmAway  bool   // the token realm is on another host
	token      string // answer of the token realm, %s is the token
	wrong      answer // of the token realm, or the registry, to a wrong password
	allOrNone  bool   // the token realm refuses unless it grants all scopes
	oneScope   bool   // the token realm refuses more than one scope

	openPing  bool   // /v2/ is open
	noPing    bool   // /v2/ does not exist
	lenient   bool   // no login is demanded for what everyone may read
	hides     answer // what a login gets that may not read a repository; 401 if it is zero
	staleSays int    // status for a token that is not accepted; 401 with a challenge if it is zero

	headStatus int  // of a HEAD of a manifest, 200 if it is zero
	cdn        bool // blobs are redirected to a host that refuses requests with a login
	cdnGetOnly bool // and answers HEAD with 403, as do URLs that are signed for GET
	regional   bool // everything is redirected to a host with other paths

	maxPage   int    // the largest n of a tag list, 0 for any
	pageSize  int    // how many tags a page has at most, 0 for n
	link      string // the Link to the next page: %[1]s is the repository, %[2]s the query
	ignoresN  bool   // all tags are on one page
	tagsExtra string // more members of a tag list
}

// answer is a status with a body.
type answer struct {
	status int
	body   string
}

func (a answer) write(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(a.status)
	fmt.Fprint(w, a.body)
}

// Team and its password are the login that every profile knows.
const (
	Team         = "team"
	TeamPassword = "password-of-the-team"
)

// errorBody is an error of the distribution specification.
func errorBody(code, message string) string {
	return fmt.Sprintf(`{"errors":[{"code":%q,"message":%q,"detail":null}]}`, code, message)
}

// bearer offers tokens of the realm for a service. ping is the scope to /v2/, and actions are
// those in the scope to a repository; both are left out if they are empty.
func bearer(service, ping, actions string) func(f *front, repository string) []string {
	return func(f *front, repository string) []string {
		value := `Bearer realm="` + f.realm + `"`
		if service != "" {
			value += `,service="` + service + `"`
		}
		scope := ping
		if repository != "" && actions != "" {
			scope = "repository:" + repository + ":" + actions
		}
		if scope != "" {
			value += `,scope="` + scope + `"`
		}
		return []string{value}
	}
}

func basic(value string) func(*front, string) []string {
	return func(*front, string) []string { return []string{value} }
}

var (
	wrongPassword = answer{http.StatusUnauthorized, errorBody("UNAUTHORIZED", "authentication required")}
	denied        = answer{http.StatusForbidden, errorBody("DENIED", "requested access to the resource is denied")}
)

// Profiles are the registries that are known.
var Profiles = []Profile{
	{
		Name: "Docker Hub", Public: true, challenges: bearer("registry.docker.io", "", "pull"),
		realmPath: "/token", realmAway: true, token: `{"token":"%[1]s","access_token":"%[1]s","expires_in":300,"issued_at":"2026-01-02T03:04:05Z"}`,
		wrong: answer{http.StatusUnauthorized, `{"details":"incorrect username or password"}`},
		cdn:   true, link: `</v2/%[1]s/tags/list?%[2]s>; rel="next"`,
	},
	{
		Name: "ghcr.io", Public: true, challenges: bearer("ghcr.io", "repository:user/image:pull", "pull"),
		realmPath: "/token", token: `{"token":"%s"}`, wrong: denied, allOrNone: true,
		cdn: true, link: `</v2/%[1]s/tags/list?%[2]s>; rel="next"`,
	},
	{
		Name: "quay.io", Public: true, challenges: bearer("quay.io", "", "pull"),
		realmPath: "/v2/auth", token: `{"token":"%s"}`, wrong: answer{http.StatusUnauthorized, `{"error":"Invalid username or password."}`},
		cdn: true, maxPage: 100, pageSize: 50, link: `/v2/%[1]s/tags/list?%[2]s; rel="next"`,
	},
	{
		Name: "ECR", challenges: basic(`Basic realm="https://ecr.example/",service="ecr.amazonaws.com"`),
		wrong: answer{http.StatusForbidden, errorBody("DENIED", "Your authorization token has expired. Reauthenticate and try again.")},
		hides: denied, cdn: true, maxPage: 1000, link: `</v2/%[1]s/tags/list?%[2]s>; rel="next"`,
	},
	{
		Name: "GAR", Public: true, challenges: bearer("docker.pkg.dev", "", "pull"), lenient: true,
		realmPath: "/v2/token", token: `{"expires_in":3600,"issued_at":"2026-01-02T03:04:05Z","token":"%s"}`, wrong: wrongPassword,
		hides: answer{http.StatusForbidden, errorBody("DENIED", "Unauthenticated request. Permission is denied (or it may not exist).")},
		cdn:   true, ignoresN: true, tagsExtra: `"child":[],"manifest":{"sha256:0":{"imageSizeBytes":"7","tag":[]}},`,
	},
	{
		Name: "ACR", Public: true, challenges: bearer("registry.azurecr.io", "", "pull"),
		realmPath: "/oauth2/token", token: `{"access_token":"%s"}`, wrong: wrongPassword, oneScope: true,
		cdn: true, link: `</v2/%[1]s/tags/list?%[2]s&orderby=>; rel="next"`,
	},
	{
		Name: "registry.k8s.io", Public: true, openPing: true, lenient: true, regional: true, cdn: true,
		challenges: basic(`Basic realm="none"`), wrong: wrongPassword, hides: answer{http.StatusNotFound, "not found"}, ignoresN: true,
	},
	{
		Name: "registry.redhat.io", challenges: bearer("docker-registry", "", ""),
		realmPath: "/auth/realms/rhcc/protocol/redhat-docker-v2/auth", token: `{"access_token":"%s","expires_in":300}`,
		wrong: answer{http.StatusUnauthorized, `{"error":"invalid_grant","error_description":"Invalid user credentials"}`},
		hides: answer{http.StatusForbidden, "<HTML><HEAD><TITLE>Access Denied</TITLE></HEAD></HTML>"}, cdn: true, ignoresN: true,
	},
	{
		Name: "nvcr.io", Public: true, challenges: bearer("", "", "pull,push"),
		realmPath: "/proxy_auth", token: `{"token":"%s","expires_in":"600"}`, wrong: wrongPassword, allOrNone: true,
		hides: answer{http.StatusPaymentRequired, errorBody("DENIED", "Payment Required")}, cdn: true, ignoresN: true,
	},
	{
		Name: "GitLab", Public: true, challenges: bearer("container_registry", "", "pull"),
		realmPath: "/jwt/auth", realmAway: true, token: `{"token":"%s"}`,
		wrong: answer{http.StatusForbidden, errorBody("DENIED", "access forbidden")}, allOrNone: true, staleSays: http.StatusBadRequest,
		maxPage: 1000, link: `</v2/%[1]s/tags/list?%[2]s>; rel="next"`,
	},
	{
		Name: "Harbor", Public: true, challenges: bearer("harbor-registry", "", "pull"),
		realmPath: "/service/token", token: `{"token":"%[1]s","access_token":"","expires_in":1800}`, wrong: wrongPassword,
		hides: answer{http.StatusNotFound, errorBody("NOT_FOUND", "repository not found")}, staleSays: http.StatusForbidden,
		link: `</v2/%[1]s/tags/list?%[2]s>; rel="next"`,
	},
	{
		Name: "Artifactory", Public: true, challenges: func(f *front, repository string) []string {
			return append([]string{`Basic realm="Artifactory Realm"`}, bearer("artifactory.example", "", "pull")(f, repository)...)
		},
		realmPath: "/v2/token", token: `{"token":"%s","expires_in":3600}`, wrong: answer{http.StatusUnauthorized, `{"errors":[{"status":401,"message":"Bad credentials"}]}`},
		hides: answer{http.StatusNotFound, `{"errors":[{"code":"MANIFEST_UNKNOWN","message":"The named manifest is not known to the registry.","detail":{"manifest":"x"}}]}`},
		cdn:   true, cdnGetOnly: true, headStatus: http.StatusForbidden, link: `</artifactory/api/docker/local/v2/%[1]s/tags/list?%[2]s>; rel="next"`,
	},
	{
		Name: "Nexus", Public: true, noPing: true, challenges: basic(`BASIC realm="Sonatype Nexus Repository Manager"`), lenient: true, wrong: wrongPassword,
		headStatus: http.StatusInternalServerError, link: `<http://nexus.internal:8081/repository/docker/v2/%[1]s/tags/list?%[2]s>; rel="next"`,
	},
}

// mayRead reports whether a user ("" for none) may read a repository.
func (p Profile) mayRead(user, repository string) bool {
	if strings.HasPrefix(repository, "private/") {
		return user == Team
	}
	return p.Public || user != ""
}

// readable are the repositories that scopes name and a user may pull from.
func (p Profile) readable(user string, scopes []string) (repositories []string, all bool) {
	for _, scope := range scopes {
		parts := strings.Split(scope, ":")
		if len(parts) == 3 && p.mayRead(user, parts[1]) && slices.Contains(strings.Split(parts[2], ","), "pull") && !placeholder(parts[1]) {
			repositories = append(repositories, parts[1])
		}
	}
	return repositories, len(repositories) == len(scopes)
}

// placeholder reports whether a repository is the one that challenges name in place of any.
func placeholder(repository string) bool { return repository == "user/image" }
