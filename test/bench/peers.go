package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"time"
)

// peer is an HTTP server that is measured: a registry, or one of plain files. All run
// as processes of their own and are asked by the same client.
type peer struct {
	name string
	base string // http://host:port
	// user and password are shown for tokens; "" where nobody has to log in.
	user, password string

	mu     sync.Mutex
	tokens map[string]issued
}

// issued is a token of a registry's token endpoint, for one scope.
type issued struct {
	token string
	at    time.Time
}

// tokenReuse is for how long a token is used again: clients do so for the time of one
// pull or push.
const tokenReuse = 2 * time.Minute

// client is that of all measurements: it keeps a connection for each worker, and reads
// and writes in pieces that are large enough not to be what is measured.
var client = &http.Client{Transport: &http.Transport{
	MaxIdleConnsPerHost: 256,
	DisableCompression:  true,
	ReadBufferSize:      64 << 10,
	WriteBufferSize:     64 << 10,
}}

// buffers are what bodies are read through.
var buffers = sync.Pool{New: func() any { b := make([]byte, 256<<10); return &b }}

// answer is what a request got, its body having been read or thrown away.
type answer struct {
	status int
	header http.Header
	bytes  int64
}

// unexpected is a status that a request should not have got.
type unexpected struct {
	request string
	status  string
	said    string
}

func (e *unexpected) Error() string { return e.request + ": " + e.status + ": " + e.said }

// ask makes a request for something in a repository and reads the answer to its end.
// A status that is none of want is an error.
func (p *peer) ask(ctx context.Context, method, path, repository, mediaType string, body []byte, want ...int) (answer, error) {
	return p.askInto(ctx, nil, method, path, repository, mediaType, body, want...)
}

// askInto is ask that shows the body to a hash, nil for none.
func (p *peer) askInto(ctx context.Context, seen hash.Hash, method, path, repository, mediaType string, body []byte, want ...int) (answer, error) {
	at := path
	if !strings.HasPrefix(path, "http://") {
		at = p.base + path
	}
	var content io.Reader
	if body != nil {
		content = bytes.NewReader(body)
	}
	req, err := http.NewRequestWithContext(ctx, method, at, content)
	if err != nil {
		return answer{}, err
	}
	if mediaType != "" {
		req.Header.Set("Content-Type", mediaType)
	} else {
		req.Header["Accept"] = manifestTypes
	}
	if err := p.authorize(ctx, req, repository); err != nil {
		return answer{}, err
	}
	resp, err := client.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	for _, status := range want {
		if resp.StatusCode == status {
			n, err := discard(resp.Body, seen)
			return answer{resp.StatusCode, resp.Header, n}, err
		}
	}
	said, _ := io.ReadAll(io.LimitReader(resp.Body, 1000))
	return answer{status: resp.StatusCode}, &unexpected{method + " " + at, resp.Status, string(said)}
}

var manifestTypes = []string{"application/vnd.oci.image.manifest.v1+json", "application/vnd.oci.image.index.v1+json"}

// discard reads to the end, past a hash if there is one.
func discard(r io.Reader, seen hash.Hash) (int64, error) {
	buffer, _ := buffers.Get().(*[]byte)
	defer buffers.Put(buffer)
	var n int64
	for {
		k, err := r.Read(*buffer)
		n += int64(k)
		if seen != nil {
			_, _ = seen.Write((*buffer)[:k]) // a hash does not fail
		}
		if errors.Is(err, io.EOF) {
			return n, nil
		}
		if err != nil {
			return n, err
		}
	}
}

// authorize puts a token for pulling and pushing into a request, one that is at hand or
// a new one.
func (p *peer) authorize(ctx context.Context, req *http.Request, repository string) error {
	if p.password == "" {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	held, there := p.tokens[repository]
	if !there || time.Since(held.at) > tokenReuse {
		token, err := p.fetchToken(ctx, repository)
		if err != nil {
			return fmt.Errorf("getting a token of %s for %s: %w", p.name, repository, err)
		}
		held = issued{token, time.Now()}
		if p.tokens == nil {
			p.tokens = map[string]issued{}
		}
		p.tokens[repository] = held
	}
	req.Header.Set("Authorization", "Bearer "+held.token)
	return nil
}

// parameter is one of a challenge's.
var parameter = regexp.MustCompile(`([a-z]+)="([^"]*)"`)

// fetchToken goes the way of registries' clients: it is challenged, and shows its
// password where the challenge says.
func (p *peer) fetchToken(ctx context.Context, repository string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.base+"/v2/", http.NoBody)
	if err != nil {
		return "", err
	}
	resp, err := client.Do(req)
	if err != nil {
		return "", err
	}
	_ = resp.Body.Close()
	challenge := map[string]string{}
	for _, found := range parameter.FindAllStringSubmatch(resp.Header.Get("WWW-Authenticate"), -1) {
		challenge[found[1]] = found[2]
	}
	query := url.Values{"scope": {"repository:" + repository + ":pull,push"}}
	if challenge["service"] != "" {
		query.Set("service", challenge["service"])
	}
	if req, err = http.NewRequestWithContext(ctx, http.MethodGet, challenge["realm"]+"?"+query.Encode(), http.NoBody); err != nil {
		return "", err
	}
	req.SetBasicAuth(p.user, p.password)
	if resp, err = client.Do(req); err != nil {
		return "", err
	}
	defer resp.Body.Close()
	var got struct{ Token string }
	if err := json.NewDecoder(resp.Body).Decode(&got); err != nil || got.Token == "" {
		return "", fmt.Errorf("%s answered %s without a token: %w", challenge["realm"], resp.Status, err)
	}
	return got.Token, nil
}

// freeAddress is an address of the loopback that nobody listens at.
func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

// waitServing returns when a server accepts connections.
func waitServing(ctx context.Context, address string) error {
	deadline := time.Now().Add(30 * time.Second)
	for time.Now().Before(deadline) && ctx.Err() == nil {
		if c, err := net.Dial("tcp", address); err == nil {
			return c.Close()
		}
		time.Sleep(10 * time.Millisecond)
	}
	return fmt.Errorf("nobody listens at %s", address)
}
