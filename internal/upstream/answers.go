package upstream

import (
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"weir.dev/weir/internal/foreignjson"
	"weir.dev/weir/internal/foreigntext"
)

const (
	maxText   = 1 << 10 // bytes of an error text
	maxErrors = 8       // entries of an error list looked at
)

// badPassword ends the text of a token realm that rejects the password of a user. It has an error
// code of its own.
const badPassword = "incorrect username or password"

// registryErrors is the body of an error answer (distribution spec, "Error
// Codes"); realms use it too, or put a text into "details" or "message".
type registryErrors struct {
	Errors  []diagnostic `json:"errors"`
	Details string       `json:"details"`
	Message string       `json:"message"`
}

type diagnostic struct {
	Code    transport.ErrorCode `json:"code"`
	Message string              `json:"message"`
}

// codes maps what a registry says to what it means here.
var codes = map[transport.ErrorCode]Code{
	transport.ManifestUnknownErrorCode: CodeManifestUnknown,
	transport.TagInvalidErrorCode:      CodeManifestUnknown,
	transport.NameUnknownErrorCode:     CodeNameUnknown,
	transport.NameInvalidErrorCode:     CodeNameUnknown,
	transport.BlobUnknownErrorCode:     CodeBlobUnknown,
	transport.UnauthorizedErrorCode:    CodeUnauthorized,
	transport.DeniedErrorCode:          CodeDenied,
	transport.TooManyRequestsErrorCode: CodeTooManyRequests,
	transport.UnavailableErrorCode:     CodeUnavailable,
}

// errorOf maps an answer that is no success. Bodies may be anything; only a
// list of registry errors in them counts.
func errorOf(ans *answer, kind Kind, maxRetryAfter time.Duration) *Error {
	e := &Error{Code: codeOfStatus(ans.status, kind), HTTPStatus: ans.status, Text: unexpectedStatus(ans.status)}
	switch ans.status {
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		e.RetryAfter = retryAfter(ans.header.Get("Retry-After"), time.Now(), maxRetryAfter)
	}
	var body registryErrors
	if foreignjson.Unmarshal(ans.body, &body) != nil {
		return e
	}
	if len(body.Errors) > 0 {
		e.describe(body.Errors)
	} else if kind == KindToken && body.Details+body.Message != "" {
		e.Text = foreigntext.Clean(strings.TrimSpace(body.Details+" "+body.Message), maxText)
	}
	if kind == KindToken && ans.status == http.StatusUnauthorized && strings.HasSuffix(strings.ToLower(e.Text), badPassword) {
		e.Code = CodeBadCredentials
	}
	return e
}

// spoken reports whether an answer is in the terms of a registry.
func spoken(ans *answer) bool {
	if ans.ok() || ans.header.Get("Docker-Distribution-Api-Version") != "" {
		return true
	}
	if _, ok := pickChallenge(ans.header); ok {
		return true
	}
	var body registryErrors
	return foreignjson.Unmarshal(ans.body, &body) == nil && len(body.Errors) > 0
}

// describe takes code and text from a registry's own list of errors. A 5xx
// stays Unavailable and a 429 TooManyRequests, whatever the body says: they
// decide about trying again.
func (e *Error) describe(list []diagnostic) {
	list = list[:min(len(list), maxErrors)]
	var words []string
	for _, d := range list {
		text := strings.ToLower(strings.ReplaceAll(string(d.Code), "_", " "))
		if d.Message != "" && !strings.EqualFold(d.Message, text) {
			text += ": " + d.Message
		}
		words = append(words, text)
	}
	e.Text = foreigntext.Clean(strings.Join(words, "; "), maxText)
	if e.Code == CodeTooManyRequests || e.HTTPStatus >= 500 {
		return
	}
	if code, ok := codes[list[0].Code]; ok {
		e.Code, e.worded = code, true
	}
}

func codeOfStatus(status int, kind Kind) Code {
	switch {
	case status == http.StatusUnauthorized:
		return CodeUnauthorized
	case status == http.StatusForbidden:
		return CodeDenied
	case status == http.StatusTooManyRequests:
		return CodeTooManyRequests
	case status == http.StatusRequestEntityTooLarge:
		return CodeTooLarge
	case status >= 500, status == http.StatusRequestTimeout:
		return CodeUnavailable
	case status == http.StatusNotFound:
		return unknown(kind)
	}
	return CodeProtocol
}

// unknown returns the code of a 404 for a kind of request.
func unknown(kind Kind) Code {
	switch kind {
	case KindHead, KindManifest:
		return CodeManifestUnknown
	case KindBlob:
		return CodeBlobUnknown
	case KindTags:
		return CodeNameUnknown
	}
	return CodeProtocol
}

func unexpectedStatus(status int) string {
	return strings.TrimSpace(fmt.Sprintf("received unexpected HTTP status: %d %s", status, http.StatusText(status)))
}

// redact blanks secrets that a registry echoed.
func redact(s string, secrets []string) string {
	for _, secret := range secrets {
		// Shorter ones would blank ordinary words, and say little.
		if len(secret) >= 4 {
			s = strings.ReplaceAll(s, secret, "[redacted]")
		}
	}
	return s
}
