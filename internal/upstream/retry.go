package upstream

import (
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// unsaidRetryAfter is the pause after a 429 that names none.
const unsaidRetryAfter = time.Second

// repeat reports whether a request is sent again, and after what pause. Only
// requests that change nothing are, and only when the failure may pass:
// connections that broke or timed out, 502, 503, 504, and 429 when the pause
// it asks for is short.
func (c *Client) repeat(q query, ans *answer, err *Error, attempt int) (time.Duration, bool) {
	if attempt >= c.opts.Hosts.Retries || q.method != http.MethodGet && q.method != http.MethodHead {
		return 0, false
	}
	if err != nil {
		return c.backOff(attempt), passing(err)
	}
	asked := retryAfter(ans.header.Get("Retry-After"), time.Now(), c.opts.Hosts.MaxPause.Duration)
	switch ans.status {
	case http.StatusTooManyRequests:
		if asked == 0 {
			asked = unsaidRetryAfter
		}
		return asked, asked <= c.opts.Hosts.RetryWait.Duration
	case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		if q.kind == KindPing || q.method == http.MethodHead {
			return 0, false // the request that follows them decides, and is repeated itself
		}
		return max(asked, c.backOff(attempt)), asked <= c.opts.Hosts.RetryWait.Duration
	}
	return 0, false
}

// backOff is the pause before repetition number attempt+1: doubled each time,
// and anything from half of that to one and a half of it.
func (c *Client) backOff(attempt int) time.Duration {
	base := c.opts.RetryBase << min(attempt, 10)
	return base/2 + rand.N(base+1)
}

// passing reports whether a network failure is transient: a refused
// connection, an unknown name or a bad certificate are not.
func passing(e *Error) bool {
	if e.Code != CodeUnavailable || e.Err == nil || isContextError(e.Err) {
		return false
	}
	var timeout net.Error
	switch {
	case errors.Is(e.Err, syscall.ECONNREFUSED):
		return false
	case errors.Is(e.Err, syscall.ECONNRESET), errors.Is(e.Err, syscall.EPIPE),
		errors.Is(e.Err, io.EOF), errors.Is(e.Err, io.ErrUnexpectedEOF), errors.Is(e.Err, net.ErrClosed):
		return true
	}
	var dns *net.DNSError
	if errors.As(e.Err, &dns) {
		return dns.IsTemporary || dns.IsTimeout
	}
	return errors.As(e.Err, &timeout) && timeout.Timeout()
}

// retryAfter reads a Retry-After header: seconds or an HTTP date. 0 when it is
// missing, malformed or in the past; never more than limit.
func retryAfter(value string, now time.Time, limit time.Duration) time.Duration {
	value = strings.TrimSpace(value)
	if value == "" || len(value) > 64 {
		return 0
	}
	if seconds, err := strconv.ParseUint(value, 10, 64); err == nil {
		if seconds > uint64(limit/time.Second) {
			return limit
		}
		return time.Duration(seconds) * time.Second
	} else if errors.Is(err, strconv.ErrRange) {
		return limit
	}
	at, err := http.ParseTime(value)
	if err != nil {
		return 0
	}
	return min(max(at.Sub(now), 0), limit)
}
