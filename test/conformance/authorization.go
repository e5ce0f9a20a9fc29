package conformance

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"time"
)

// Basic shows a user name and a password with each request.
func Basic(user, password string) func(context.Context, []string) (string, error) {
	header := "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))
	return func(context.Context, []string) (string, error) { return header, nil }
}

// Bearer shows the same token with each request.
func Bearer(token string) func(context.Context, []string) (string, error) {
	return func(context.Context, []string) (string, error) { return "Bearer " + token, nil }
}

// TokenFlow asks the token service that a registry's challenge names for a token with
// exactly the scopes of a request, and keeps it for as long as it lasts.
func TokenFlow(registry, user, password string) func(context.Context, []string) (string, error) {
	f := &tokenFlow{registry: strings.TrimSuffix(registry, "/"), user: user, password: password, tokens: map[string]token{}}
	return f.authorization
}

type tokenFlow struct {
	registry, user, password string

	mu     sync.Mutex
	tokens map[string]token // by scopes
}

type token struct {
	value string
	until time.Time
}

// tokenLife is how long a token lasts when its service does not tell.
const tokenLife = time.Minute

func (f *tokenFlow) authorization(ctx context.Context, scopes []string) (string, error) {
	key := strings.Join(scopes, " ")
	f.mu.Lock()
	kept, ok := f.tokens[key]
	f.mu.Unlock()
	if ok && time.Now().Before(kept.until) {
		return "Bearer " + kept.value, nil
	}
	got, err := f.ask(ctx, scopes)
	if err != nil {
		return "", err
	}
	f.mu.Lock()
	f.tokens[key] = got
	f.mu.Unlock()
	return "Bearer " + got.value, nil
}

var challengeParameter = regexp.MustCompile(`(\w+)="([^"]*)"`)

func (f *tokenFlow) ask(ctx context.Context, scopes []string) (token, error) {
	ping, err := get(ctx, f.registry+"/v2/", "", "")
	if err != nil {
		return token{}, err
	}
	challenge := ping.header.Get("WWW-Authenticate")
	if ping.status != http.StatusUnauthorized || !strings.HasPrefix(challenge, "Bearer ") {
		return token{}, fmt.Errorf("asking for a challenge: status %d, WWW-Authenticate %q", ping.status, challenge)
	}
	query, realm := url.Values{}, ""
	for _, p := range challengeParameter.FindAllStringSubmatch(challenge, -1) {
		switch p[1] {
		case "realm":
			realm = p[2]
		case "service":
			query.Set("service", p[2])
		}
	}
	for _, s := range scopes {
		query.Add("scope", s)
	}
	query.Set("account", f.user)
	got, err := get(ctx, realm+"?"+query.Encode(), f.user, f.password)
	if err != nil {
		return token{}, err
	}
	if got.status != http.StatusOK {
		return token{}, fmt.Errorf("asking %s for a token: status %d: %s", realm, got.status, got.body)
	}
	return readToken(got.body)
}

// readToken reads the answer of a token service.
func readToken(body []byte) (token, error) {
	var answer struct {
		Token       string `json:"token"`
		AccessToken string `json:"access_token"`
		ExpiresIn   int    `json:"expires_in"`
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		return token{}, fmt.Errorf("reading a token: %w", err)
	}
	value := answer.Token
	if value == "" {
		value = answer.AccessToken
	}
	if value == "" {
		return token{}, errors.New("the token service's answer has no token")
	}
	life := tokenLife
	if answer.ExpiresIn > 0 {
		life = time.Duration(answer.ExpiresIn) * time.Second
	}
	return token{value: value, until: time.Now().Add(life / 2)}, nil
}

// get asks without a session, with a password when there is a user.
func get(ctx context.Context, target, user, password string) (*answer, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, target, nil)
	if err != nil {
		return nil, err
	}
	if user != "" {
		req.SetBasicAuth(user, password)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	if err != nil {
		return nil, fmt.Errorf("reading the answer of %s: %w", target, err)
	}
	return &answer{status: res.StatusCode, header: res.Header, body: body}, nil
}
