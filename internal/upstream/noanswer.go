package upstream

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"

	"weir.dev/weir/internal/foreigntext"
)

// unreachable is the text for all ways in which no answer of HTTP or TLS comes back. One text
// for all of them, without the names and addresses in the causes: who can import must not be
// able to look for open ports in the server's network, or learn how names are resolved there.
// The cause is in Error.Detail.
const unreachable = "no answer: its name is unknown, its port is closed or filtered, or the connection failed"

// noAnswer maps the failure of a request that was not answered. The text names the request,
// not one that it was redirected to, and without the query, which may hold a signature.
func (c *Client) noAnswer(ctx context.Context, q query, err error) *Error {
	e := c.networkError(ctx, err)
	if e.Code != CodeUnavailable {
		return e
	}
	e.Detail, e.Text = e.Text, fmt.Sprintf("%s: %s", asked(q), withoutAnswer(e.Err))
	return e
}

// brokenOff maps the failure of an answer that had begun.
func (c *Client) brokenOff(ctx context.Context, err error) *Error {
	e := c.networkError(ctx, err)
	if e.Code == CodeUnavailable && !isContextError(e.Err) {
		e.Detail, e.Text = e.Text, "the connection broke in the middle of the answer"
	}
	return e
}

// asked is a request as Go's client words it.
func asked(q query) string {
	at, _, _ := strings.Cut(q.url, "?")
	return fmt.Sprintf("%s %q", strings.ToUpper(q.method[:1])+strings.ToLower(q.method[1:]), at)
}

// withoutAnswer is the text about a connection that brought no answer: what a server shows
// that speaks HTTP or TLS, and what would help.
func withoutAnswer(err error) string {
	var (
		authority x509.UnknownAuthorityError
		name      x509.HostnameError
		invalid   x509.CertificateInvalidError
		alert     tls.AlertError
	)
	switch {
	case errors.Is(err, http.ErrSchemeMismatch):
		return http.ErrSchemeMismatch.Error() + "; set importPolicy.insecure: true on the tag if the network to the registry can be trusted"
	case errors.As(err, &authority):
		return "tls: failed to verify certificate: x509: certificate signed by unknown authority; put the authority's certificate into the server's --import-ca-dir, or set importPolicy.insecure: true on the tag"
	case errors.As(err, &name):
		return "tls: failed to verify certificate: x509: certificate is valid for other names than this"
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return "tls: failed to verify certificate: x509: certificate has expired or is not yet valid"
	case errors.As(err, &invalid):
		return "tls: failed to verify certificate: x509: certificate cannot be used"
	case errors.As(err, &alert):
		return "remote error: " + alert.Error()
	}
	return unreachable
}

// networkError maps the failure of a connection.
func (c *Client) networkError(ctx context.Context, err error) *Error {
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		// The wrapper's text holds the URL, whose query may hold a signature.
		err = wrapped.Err
	}
	var forbidden *forbiddenAddressError
	switch {
	case errors.As(err, &forbidden):
		return &Error{Code: CodeForbiddenAddress, Text: forbidden.Error(), Detail: "address " + forbidden.addr.String(), Err: err}
	case c.base.Err() != nil:
		return canceled(errClosed)
	case ctx.Err() != nil:
		return canceled(ctx.Err())
	case strings.Contains(err.Error(), "response headers exceeded"), strings.Contains(err.Error(), "response header list larger"):
		return &Error{Code: CodeTooLarge, Text: fmt.Sprintf("answer headers exceed the limit of %d bytes", c.opts.bounds.headers), Err: err}
	case errors.Is(err, errRedirect):
		return &Error{Code: CodeProtocol, Text: foreigntext.Clean(err.Error(), maxText), Err: err}
	}
	return &Error{Code: CodeUnavailable, Text: steady(foreigntext.Clean(err.Error(), maxText)), Err: err}
}

// ownAddress is this side of a connection in the text of a network error.
var ownAddress = regexp.MustCompile(`[0-9A-Za-z.:%\[\]]+:[0-9]+->`)

// steady leaves out of a text what differs between two failures of the same kind:
// statuses with it are stored, and the same failure again must not look like news.
func steady(text string) string { return ownAddress.ReplaceAllString(text, "") }
