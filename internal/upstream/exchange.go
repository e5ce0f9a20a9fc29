package upstream

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"weir.dev/weir/internal/pullsecrets"
)

// query is one request and how much of its answer is read.
type query struct {
	kind   Kind
	method string
	url    string
	host   string // whose budget it is charged to
	// cred is the credential whose pace it is charged to, shown or not; nil for a request
	// that is the same for all.
	cred     *pullsecrets.Credential
	header   http.Header
	form     url.Values // body of a POST
	limit    int64      // bytes of the body of a 2xx answer
	insecure bool
	stream   bool // leave the body of a 200 or 206 to the caller
}

// answer is a response, read to its end and bounded.
type answer struct {
	status int
	header http.Header
	body   []byte
	length int64    // Content-Length, -1 when unknown
	url    *url.URL // where it came from, after redirects

	// stream is the body of a streamed answer, which the caller
	// closes and reports; sent is when the request was.
	stream io.ReadCloser
	sent   time.Time
}

func (a *answer) ok() bool { return a.status >= 200 && a.status < 300 }

// from reports whether the answer came from a host itself rather than from
// somewhere it redirected to.
func (a *answer) from(host string) bool { return strings.EqualFold(a.url.Host, host) }

// exchange sends a request within the budget of its host and repeats it when
// that can help. Answers of any status come back as answers; errors are those
// of network, limits and budgets.
func (c *Client) exchange(ctx context.Context, q query) (*answer, *Error) {
	for attempt := 0; ; attempt++ {
		ans, err := c.attempt(ctx, q)
		wait, again := c.repeat(q, ans, err, attempt)
		if !again {
			return ans, err
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return ans, err
		}
	}
}

// attempt sends a request once.
func (c *Client) attempt(ctx context.Context, q query) (*answer, *Error) {
	turn, err := c.budgets.acquire(ctx, q.host, q.cred)
	if err != nil {
		return nil, err
	}
	start := time.Now()
	ans, err := c.roundTrip(ctx, q)
	turn.release(c.pressure(ans), ans != nil && ans.status < 500)
	if ans != nil && ans.stream != nil {
		ans.sent = start
		return ans, nil
	}
	c.observe(Observation{
		Host: q.host, Kind: q.kind, Outcome: outcome(ans, err, q), Duration: time.Since(start),
	})
	return ans, err
}

func outcome(ans *answer, err *Error, q query) string {
	switch {
	case err != nil && err.Code == CodeUnavailable && q.kind == KindPing && q.insecure && strings.HasPrefix(q.url, "https:"):
		return OutcomeFallback
	case err != nil:
		return string(err.Code)
	case ans.ok(), q.kind == KindPing && isV2(ans):
		return OutcomeSuccess
	}
	return string(errorOf(ans, q.kind, 0).Code)
}

// pressure is how long an answer asks to leave its host alone; negative when
// it does not.
func (c *Client) pressure(ans *answer) time.Duration {
	if ans == nil || ans.status != http.StatusTooManyRequests {
		return -1
	}
	return retryAfter(ans.header.Get("Retry-After"), time.Now(), c.opts.Hosts.MaxPause.Duration)
}

// roundTrip sends a request and reads its answer.
func (c *Client) roundTrip(ctx context.Context, q query) (*answer, *Error) {
	ctx = context.WithValue(ctx, insecureKey{}, q.insecure)
	var body io.Reader
	if q.form != nil {
		body = strings.NewReader(q.form.Encode())
	}
	req, err := http.NewRequestWithContext(ctx, q.method, q.url, body)
	if err != nil {
		return nil, &Error{Code: CodeProtocol, Text: "the registry leads to a malformed URL"}
	}
	for name, values := range q.header {
		req.Header[name] = values
	}
	if q.form != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	announceURL(req, q.kind)
	client := c.secure
	if q.insecure {
		client = c.insecure
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, c.noAnswer(ctx, q, err)
	}
	if q.stream && (resp.StatusCode == http.StatusOK || resp.StatusCode == http.StatusPartialContent) {
		return &answer{status: resp.StatusCode, header: resp.Header, length: resp.ContentLength, url: resp.Request.URL, stream: resp.Body}, nil
	}
	defer resp.Body.Close()
	return c.read(ctx, q, resp)
}

// read reads the body of a response up to the limit for its kind.
func (c *Client) read(ctx context.Context, q query, resp *http.Response) (*answer, *Error) {
	ans := &answer{status: resp.StatusCode, header: resp.Header, length: resp.ContentLength, url: resp.Request.URL}
	limit, strict := q.limit, true
	if !ans.ok() || q.kind == KindPing {
		limit, strict = c.opts.bounds.errorBody, false
	}
	if q.method == http.MethodHead {
		return ans, nil
	}
	if strict && resp.ContentLength > limit {
		return nil, tooLarge(q.kind, limit)
	}
	var buf bytes.Buffer
	if n := resp.ContentLength; n > 0 && n <= min(limit, 1<<20) {
		buf.Grow(int(n) + bytes.MinRead)
	}
	_, err := buf.ReadFrom(io.LimitReader(resp.Body, limit+1))
	switch {
	case strict && int64(buf.Len()) > limit:
		return nil, tooLarge(q.kind, limit)
	case strict && err != nil:
		return nil, c.brokenOff(ctx, err)
	}
	// What is cut off an error answer is not missed: its beginning says enough.
	ans.body = buf.Bytes()
	if !strict && int64(len(ans.body)) > limit {
		ans.body = ans.body[:limit]
	}
	return ans, nil
}

func tooLarge(kind Kind, limit int64) *Error {
	return &Error{Code: CodeTooLarge, Text: fmt.Sprintf("%s answer exceeds the limit of %d bytes", kind, limit)}
}
