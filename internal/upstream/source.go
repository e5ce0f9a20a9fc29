package upstream

import (
	"context"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"slices"
	"strings"

	digest "github.com/opencontainers/go-digest"

	"weir.dev/weir/internal/foreigntext"
	"weir.dev/weir/internal/manifest"
)

// acceptManifests are the manifest types in Accept headers.
var acceptManifests = strings.Join([]string{
	manifest.MediaTypeSchema2,
	manifest.MediaTypeManifestList,
	manifest.MediaTypeOCIManifest,
	manifest.MediaTypeOCIIndex,
	manifest.MediaTypeSchema1Signed,
	manifest.MediaTypeSchema1,
}, ", ")

// maxMediaType is the longest media type that is read (RFC 6838 allows 127 to each side).
const maxMediaType = 255

// request sends one GET of this source whose only good answer is a 200.
func (s *source) request(ctx context.Context, kind Kind, path, accept string, limit int64) (*answer, error) {
	l, err := s.login(ctx, path)
	if err != nil {
		return nil, err
	}
	return s.requestAs(ctx, l, kind, path, accept, limit)
}

// requestAs is request with a login to begin with.
func (s *source) requestAs(ctx context.Context, l login, kind Kind, path, accept string, limit int64) (*answer, error) {
	q := query{kind: kind, method: http.MethodGet, header: http.Header{}, limit: limit}
	if accept != "" {
		q.header.Set("Accept", accept)
	}
	ans, l, err := s.ask(ctx, l, path, q)
	if err != nil {
		return nil, err
	}
	// Other successes (204, 206 …) answer no request of this client.
	if ans.status != http.StatusOK {
		return nil, s.refusal(ans, kind, l)
	}
	return ans, nil
}

// ask sends a query for a path below this repository, and again when the registry wants
// another login; the login returned is the last. An error with an answer is that of a login
// which the answer demanded.
func (s *source) ask(ctx context.Context, l login, path string, q query) (*answer, login, error) {
	ans, err := s.send(ctx, l, path, q)
	for range maxLogins {
		if err != nil {
			break
		}
		var again bool
		if l, again, err = s.relogin(ctx, l, q, ans); err != nil || !again {
			break
		}
		s.learn(l)
		ans, err = s.send(ctx, l, path, q)
	}
	if err == nil && ans.ok() && l.doubt != nil {
		s.settle(l)
	}
	return ans, l, err
}

func (s *source) send(ctx context.Context, l login, path string, q query) (*answer, error) {
	q.url, q.host, q.cred, q.insecure = l.base+"/v2/"+s.Path+path, s.Host, &s.cred, s.Insecure
	if l.authorization != "" {
		q.header = q.header.Clone()
		q.header.Set("Authorization", l.authorization)
	}
	ans, err := s.client.exchange(ctx, q)
	if err != nil {
		if err.Code == CodeUnavailable && !isContextError(err.Err) {
			// It may have moved between http and https: ask again next time.
			s.client.pings.Remove(s.pingKey())
		}
		err.Text = redact(err.Error(), l.secrets)
		return nil, err
	}
	return ans, nil
}

// refusal is the error of an answer that is no success.
func (s *source) refusal(ans *answer, kind Kind, l login) *Error {
	if e := s.doubtOf(l, ans); e != nil {
		return e
	}
	e := errorOf(ans, kind, s.client.opts.Hosts.MaxPause.Duration)
	e.Text = redact(e.Text, l.secrets)
	if e.Code == CodeUnauthorized && l.authorization == "" {
		if ch, ok := pickChallenge(ans.header); ok && ch.scheme == "basic" {
			e.Text += ": no basic auth credentials"
		}
	}
	return e
}

// flightKey is the key of shared work: the request, its source and its credential.
func (s *source) flightKey(parts ...string) string {
	return key(append(parts, s.key(), s.Reference)...)
}

// wanted returns the requested digest; "" for a tag.
func (s *source) wanted() digest.Digest {
	if strings.Contains(s.Reference, ":") {
		return digest.Digest(s.Reference)
	}
	return ""
}

func (s *source) manifest(ctx context.Context) (Manifest, error) {
	c := s.client
	return c.getFlights.do(ctx, c, s.flightKey("manifest", chainOf(ctx).key()), c.opts.Timeouts.Call.Duration, s.manifestNow)
}

func (s *source) manifestNow(ctx context.Context) (Manifest, error) {
	l, err := s.login(ctx, "/manifests/"+s.Reference)
	if err != nil {
		return Manifest{}, err
	}
	return s.manifestAs(ctx, l)
}

func (s *source) manifestAs(ctx context.Context, l login) (Manifest, error) {
	ans, err := s.requestAs(ctx, l, KindManifest, "/manifests/"+s.Reference, acceptManifests, int64(s.client.opts.Limits.ManifestSize))
	if err != nil {
		return Manifest{}, err
	}
	media := mediaType(ans.header)
	content, d, verr := verifyManifest(ans, media, s.wanted())
	if verr != nil {
		return Manifest{}, verr
	}
	return Manifest{
		Descriptor: Descriptor{Digest: d, MediaType: media, Size: int64(len(content)), Source: s.Repository()},
		Bytes:      content,
	}, nil
}

func (s *source) blob(ctx context.Context, maxBytes int64) ([]byte, error) {
	c := s.client
	k := s.flightKey("blob", fmt.Sprint(maxBytes), chainOf(ctx).key())
	return c.blobFlights.do(ctx, c, k, c.opts.Timeouts.Call.Duration, func(ctx context.Context) ([]byte, error) {
		ans, err := s.request(ctx, KindBlob, "/blobs/"+s.Reference, "", maxBytes)
		if err != nil {
			return nil, err
		}
		if err := verify(ans.body, s.wanted()); err != nil {
			return nil, err
		}
		return ans.body, nil
	})
}

// verifyManifest compares content with the requested digest and the one
// announced; it returns the content those digests are of.
func verifyManifest(ans *answer, media string, want digest.Digest) ([]byte, digest.Digest, *Error) {
	content := ans.body
	announced := announcedDigest(ans.header)
	if media == manifest.MediaTypeSchema1Signed {
		content = unsigned(content)
	}
	for _, d := range []digest.Digest{want, announced} {
		if d == "" {
			continue
		}
		if err := verify(content, d); err != nil {
			return nil, "", err
		}
	}
	if want == "" {
		want = digest.FromBytes(content)
	}
	return content, want, nil
}

// unsigned is a signed schema 1 manifest without its signatures, which its digest does not
// cover. What is not one stays as it is, and has the digest that it has.
func unsigned(content []byte) []byte {
	m, err := manifest.Read(content)
	if err != nil {
		return content
	}
	payload, err := m.SignedPayload(content)
	if err != nil {
		return content
	}
	return payload
}

// verify compares content with a digest.
func verify(content []byte, d digest.Digest) *Error {
	if err := d.Validate(); err != nil {
		return integrity("digest %s: %v", foreigntext.Clean(string(d), 200), err)
	}
	if got := d.Algorithm().FromBytes(content); got != d {
		return integrity("content has digest %s instead of %s", got, d)
	}
	return nil
}

func integrity(format string, args ...any) *Error {
	return &Error{Code: CodeIntegrity, Text: fmt.Sprintf(format, args...)}
}

// announcedDigest is the Docker-Content-Digest header; "" when there is none, or none that can be
// used: it is optional, and content has the digest that is computed of it.
func announcedDigest(header http.Header) digest.Digest {
	values := slices.Compact(header.Values("Docker-Content-Digest"))
	if len(values) != 1 || len(values[0]) > 200 {
		return ""
	}
	d := digest.Digest(values[0])
	if d.Validate() != nil {
		return ""
	}
	return d
}

// mediaType is the Content-Type without parameters; "" when it is none.
func mediaType(header http.Header) string {
	value := header.Get("Content-Type")
	if len(value) > 4*maxMediaType {
		return ""
	}
	media, _, err := mime.ParseMediaType(value)
	if err != nil && !errors.Is(err, mime.ErrInvalidMediaParameter) || len(media) > maxMediaType {
		return ""
	}
	return media
}

// isContextError reports whether an error is that of a context.
func isContextError(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}
