package chaos_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"

	digest "github.com/opencontainers/go-digest"
)

// chunkBytes is how long the chunks of chunked uploads are, of all but large blobs.
const chunkBytes = 64 << 10

// registryHTTP keeps as many connections as tests have uploads at once, and shows
// redirects as they are.
var registryHTTP = &http.Client{
	Transport:     &http.Transport{MaxIdleConnsPerHost: 512, IdleConnTimeout: 10 * time.Second},
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	Timeout:       time.Minute,
}

// registryClient speaks to a registry as one user.
type registryClient struct {
	// host is host:port.
	host string
	// authorization is the header of that name, "" for none.
	authorization string
}

// as is the same registry for somebody else.
func (c registryClient) as(authorization string) registryClient {
	return registryClient{c.host, authorization}
}

func basicAuthorization(password string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte("anybody:"+password))
}

func bearerAuthorization(token string) string { return "Bearer " + token }

// registryReply is an answer with its whole body.
type registryReply struct {
	status int
	header http.Header
	body   []byte
}

// code is the code of the first error, "" where the body has none.
func (r registryReply) code() string {
	var told struct{ Errors []struct{ Code string } }
	if json.Unmarshal(r.body, &told) != nil || len(told.Errors) == 0 {
		return ""
	}
	return told.Errors[0].Code
}

// refusal is an answer that was not wanted. Errors of the connection are no refusals.
type refusal struct {
	what  string
	reply registryReply
}

// Error is what was asked and what was told.
func (r *refusal) Error() string {
	return fmt.Sprintf("%s: %d %.500s", r.what, r.reply.status, r.reply.body)
}

// is reports whether a request was refused with a status and a code.
func (r *refusal) is(status int, code string) bool {
	return r.reply.status == status && r.reply.code() == code
}

// send sends a request; header has names and values in turn.
func (c registryClient) send(ctx context.Context, method, path string, body io.Reader, header ...string) (registryReply, error) {
	r, err := http.NewRequestWithContext(ctx, method, "http://"+c.host+path, body)
	if err != nil {
		return registryReply{}, err
	}
	if c.authorization != "" {
		r.Header.Set("Authorization", c.authorization)
	}
	for n := 0; n < len(header); n += 2 {
		r.Header.Set(header[n], header[n+1])
	}
	response, err := registryHTTP.Do(r)
	if err != nil {
		return registryReply{}, err
	}
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	return registryReply{response.StatusCode, response.Header, content}, err
}

// want is send for an answer with a status; any other is a *refusal.
func (c registryClient) want(ctx context.Context, status int, method, path string, body io.Reader, header ...string) (registryReply, error) {
	reply, err := c.send(ctx, method, path, body, header...)
	if err == nil && reply.status != status {
		err = &refusal{method + " " + path, reply}
	}
	return reply, err
}

// A way is how a client uploads a blob.
type way string

const (
	atOnce     way = "at once"    // POST with the digest and all of it
	monolithic way = "monolithic" // POST, then PUT of all of it
	chunked    way = "chunked"    // POST, PATCH of pieces that say where they begin, PUT
	streamed   way = "streamed"   // POST, one PATCH without a length, PUT
)

var ways = []way{atOnce, monolithic, chunked, streamed}

// upload uploads a blob. Without an error it was acknowledged.
func (c registryClient) upload(ctx context.Context, how way, repo string, content []byte) error {
	d := digest.FromBytes(content)
	if how == atOnce {
		_, err := c.want(ctx, http.StatusCreated, http.MethodPost, uploadsOf(repo)+"?digest="+d.String(), bytes.NewReader(content))
		return err
	}
	location, err := c.begin(ctx, repo)
	if err != nil {
		return err
	}
	rest, piece := content, max(chunkBytes, len(content)/8)
	switch how {
	case chunked:
		for len(rest) > piece && err == nil {
			err = c.patch(ctx, location, rest[:piece], len(content)-len(rest))
			rest = rest[piece:]
		}
	case streamed:
		_, err = c.want(ctx, http.StatusAccepted, http.MethodPatch, location, io.MultiReader(bytes.NewReader(rest)))
		rest = nil
	}
	if err != nil {
		return err
	}
	return c.finish(ctx, location, rest, d)
}

func uploadsOf(repo string) string { return "/v2/" + repo + "/blobs/uploads/" }

// begin begins an upload and returns its path.
func (c registryClient) begin(ctx context.Context, repo string) (location string, err error) {
	reply, err := c.want(ctx, http.StatusAccepted, http.MethodPost, uploadsOf(repo), nil)
	return reply.header.Get("Location"), err
}

// patch sends a chunk that begins at an offset.
func (c registryClient) patch(ctx context.Context, location string, chunk []byte, offset int) error {
	_, err := c.want(ctx, http.StatusAccepted, http.MethodPatch, location, bytes.NewReader(chunk),
		"Content-Range", fmt.Sprintf("%d-%d", offset, offset+len(chunk)-1))
	return err
}

// finish ends an upload with what is left of it.
func (c registryClient) finish(ctx context.Context, location string, rest []byte, d digest.Digest) error {
	_, err := c.want(ctx, http.StatusCreated, http.MethodPut, location+"?digest="+d.String(), bytes.NewReader(rest))
	return err
}

// wantReceived checks how many bytes an upload has.
func (c registryClient) wantReceived(ctx context.Context, location string, size int) error {
	reply, err := c.want(ctx, http.StatusNoContent, http.MethodGet, location, nil)
	if got, want := reply.header.Get("Range"), fmt.Sprintf("0-%d", max(size-1, 0)); err == nil && got != want {
		err = fmt.Errorf("upload %s stands at %s, want %s", location, got, want)
	}
	return err
}

// content gets what is under a path, and compares it with its digest, its length and
// what the header says.
func (c registryClient) content(ctx context.Context, path string, d digest.Digest) ([]byte, error) {
	reply, err := c.want(ctx, http.StatusOK, http.MethodGet, path, nil)
	if err != nil {
		return nil, err
	}
	if got := d.Algorithm().FromBytes(reply.body); got != d || reply.header.Get("Docker-Content-Digest") != d.String() {
		return nil, fmt.Errorf("GET %s serves %d bytes of %s as %s", path, len(reply.body), got, reply.header.Get("Docker-Content-Digest"))
	}
	return reply.body, nil
}

func blobOf(repo string, d digest.Digest) string { return "/v2/" + repo + "/blobs/" + d.String() }

func manifestOf(repo, reference string) string { return "/v2/" + repo + "/manifests/" + reference }

// tags are all tags of a repository.
func (c registryClient) tags(ctx context.Context, repo string) ([]string, error) {
	reply, err := c.want(ctx, http.StatusOK, http.MethodGet, "/v2/"+repo+"/tags/list", nil)
	if err != nil {
		return nil, err
	}
	var list struct{ Tags []string }
	if err := json.Unmarshal(reply.body, &list); err != nil {
		return nil, fmt.Errorf("the tag list of %s: %w", repo, err)
	}
	return list.Tags, nil
}
