package access

import (
	"net/http"
	"slices"
	"strings"

	"weir.dev/weir/internal/ociregistry"
	"weir.dev/weir/internal/reference"
)

// Types of scopes, and their names and actions.
const (
	typeRepository = "repository"
	typeSignature  = "signature"
	typeRegistry   = "registry"
	nameCatalog    = "catalog"

	actionPull   = "pull"
	actionPush   = "push"
	actionDelete = "delete"
	actionSign   = "sign"
	actionAll    = "*"

	// Scopes of type signature have separate actions.
	actionSignatureGet = "get"
	actionSignaturePut = "put"
)

const (
	// maxScopes bounds the reviews that one request for a token can cause.
	maxScopes = 64
	// maxScopeBytes bounds the bytes that their names add to a token.
	maxScopeBytes = 3 << 10
)

const catalogScope = typeRegistry + ":" + nameCatalog + ":" + actionAll

// scope is one requested scope of a token, "type:name:action,action".
type scope struct {
	kind, name string
	actions    []string
	// repository is set for types that name a repository.
	repository reference.Repository
}

// parseScopes reads the scope parameters of a request for a token: any number of them,
// each with any number of scopes, separated by spaces. It returns those that can be
// granted, without duplicates, up to the bounds. Others are ignored without an error: a client
// may request names of other registries too, as containerd does for a mirror, and a request
// with an invalid name gets an error later.
func parseScopes(parameters []string) []scope {
	var scopes []scope
	seen := map[string]bool{}
	bytes := 0
	for _, parameter := range parameters {
		for text := range strings.FieldsSeq(parameter) {
			s, ok := parseScope(text)
			if !ok || seen[text] || bytes+len(text) > maxScopeBytes {
				continue
			}
			seen[text] = true
			bytes += len(text)
			if scopes = append(scopes, s); len(scopes) == maxScopes {
				return scopes
			}
		}
	}
	return scopes
}

// parseScope reads one scope. ok is false if the scope is malformed, has another type, or its
// name is not that of a repository. The name is the text between the first and the last colon;
// it may contain a colon.
func parseScope(text string) (s scope, ok bool) {
	kind, rest, found := strings.Cut(text, ":")
	colon := strings.LastIndexByte(rest, ':')
	if !found || colon < 0 {
		return scope{}, false
	}
	kind, _, _ = strings.Cut(kind, "(") // a class may follow: "repository(plugin)"
	s = scope{kind: kind, name: rest[:colon], actions: strings.Split(rest[colon+1:], ",")}
	switch kind {
	case typeRegistry:
		return s, s.catalog()
	case typeRepository, typeSignature:
		repository, err := reference.ParseRepository(s.name)
		s.repository = repository
		return s, err == nil
	}
	return scope{}, false
}

// wants returns the actions in a repository that the scope requests, by the action in the scope
// that grants each. A scope for push requests the right to sign as well, since clients that sign
// have no scope for it.
func (s scope) wants() map[string]ociregistry.Action {
	known := wordsOf[s.kind]
	wants := map[string]ociregistry.Action{}
	for _, action := range s.actions {
		for _, word := range known[action] {
			wants[word] = actionOf[word]
		}
	}
	return wants
}

// wordsOf has, by the type of a scope and an action in it, the actions to grant.
var wordsOf = map[string]map[string][]string{
	typeRepository: {
		actionPull:   {actionPull},
		actionPush:   {actionPush, actionSign},
		actionDelete: {actionDelete},
		actionAll:    {actionPull, actionPush, actionSign, actionDelete},
	},
	typeSignature: {
		actionSignatureGet: {actionPull},
		actionSignaturePut: {actionSign},
		actionAll:          {actionPull, actionSign},
	},
}

// actionOf maps an action of a scope to the action that it grants.
var actionOf = map[string]ociregistry.Action{
	actionPull:   ociregistry.ActionPull,
	actionPush:   ociregistry.ActionPush,
	actionDelete: ociregistry.ActionDelete,
	actionSign:   ociregistry.ActionSign,
}

// catalog reports whether the scope requests the list of repositories.
func (s scope) catalog() bool {
	return s.kind == typeRegistry && s.name == nameCatalog && slices.Contains(s.actions, actionAll)
}

// repositoryScope returns the scope for actions in a repository, "" if name is not valid.
func repositoryScope(name string, actions ...ociregistry.Action) string {
	if _, err := reference.ParseRepository(name); err != nil {
		return ""
	}
	var pull, push, remove bool
	for _, action := range actions {
		switch action {
		case ociregistry.ActionPull, ociregistry.ActionSignatureRead:
			pull = true
		case ociregistry.ActionPush, ociregistry.ActionSign:
			pull, push = true, true
		case ociregistry.ActionDelete:
			remove = true
		}
	}
	var words []string
	for _, w := range []struct {
		want bool
		word string
	}{{pull, actionPull}, {push, actionPush}, {remove, actionDelete}} {
		if w.want {
			words = append(words, w.word)
		}
	}
	if words == nil {
		return ""
	}
	return typeRepository + ":" + name + ":" + strings.Join(words, ",")
}

// routes are the path segments that follow the name of a repository.
var routes = []string{"/manifests/", "/blobs/", "/referrers/", "/tags/list", "/signatures/"}

// wanted returns the scope that a request without credentials needs, "" if the path does not
// determine it.
func wanted(r *http.Request) string {
	path, found := strings.CutPrefix(r.URL.Path, "/v2/")
	if path == "_catalog" {
		return catalogScope
	}
	if !found {
		if path, found = strings.CutPrefix(r.URL.Path, "/extensions/v2/"); !found {
			return ""
		}
	}
	end := -1 // names may contain a route's segment: the last one counts
	for _, route := range routes {
		end = max(end, strings.LastIndex(path, route))
	}
	if end < 0 {
		return ""
	}
	name, upload := path[:end], strings.HasPrefix(path[end:], "/blobs/uploads/")
	switch r.Method {
	case http.MethodGet, http.MethodHead:
		return repositoryScope(name, ociregistry.ActionPull)
	case http.MethodDelete:
		if !upload {
			return repositoryScope(name, ociregistry.ActionDelete)
		}
	}
	scope := repositoryScope(name, ociregistry.ActionPush)
	if from := r.URL.Query().Get("from"); from != "" && r.Method == http.MethodPost && upload {
		scope = strings.TrimSpace(scope + " " + repositoryScope(from, ociregistry.ActionPull))
	}
	return scope
}
