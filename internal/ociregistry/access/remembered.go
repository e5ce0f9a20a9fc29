package access

import (
	"context"
	"crypto/sha256"
	"time"

	"golang.org/x/sync/singleflight"
	"k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/apiserver/pkg/authentication/user"

	"weir.dev/weir/internal/caches"
)

// The bounds of caches in bytes. Rejected tokens have a cache of their own, so that unauthenticated
// clients cannot evict valid tokens.
const (
	acceptedBytes = 8 << 20
	refusedBytes  = 2 << 20
	rightsBytes   = 8 << 20
)

// tokenHash identifies a token, so that tokens are not kept in memory.
type tokenHash [sha256.Size]byte

// rememberingReviewer is an authenticator that caches results per token.
type rememberingReviewer struct {
	reviewer authenticator.Token
	accepted *caches.Cache[tokenHash, *authenticator.Response]
	refused  *caches.Cache[tokenHash, struct{}]
	flights  singleflight.Group
}

func newRememberingReviewer(reviewer authenticator.Token, p *caches.Pool, now func() time.Time) *rememberingReviewer {
	return &rememberingReviewer{
		reviewer: reviewer,
		accepted: caches.New(p, caches.Options[tokenHash, *authenticator.Response]{
			Name: "api_tokens", Bytes: acceptedBytes, Life: knownTokenTTL, Now: now,
			Cost: func(_ tokenHash, r *authenticator.Response) int { return userBytes(r.User) },
		}),
		refused: caches.New(p, caches.Options[tokenHash, struct{}]{
			Name: "api_tokens_refused", Bytes: refusedBytes, Life: unknownTokenTTL, Now: now,
		}),
	}
}

// AuthenticateToken implements authenticator.Token. Errors are not cached.
func (r *rememberingReviewer) AuthenticateToken(ctx context.Context, token string) (*authenticator.Response, bool, error) {
	hash := tokenHash(sha256.Sum256([]byte(token)))
	if response, found := r.accepted.Get(hash); found {
		return response, true, nil
	}
	if _, found := r.refused.Get(hash); found {
		return nil, false, nil
	}
	// Other requests wait for this one, so it must not end with the request that started it.
	flight := r.flights.DoChan(string(hash[:]), func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), reviewTimeout)
		defer cancel()
		return r.review(ctx, hash, token)
	})
	select {
	case done := <-flight:
		response, _ := done.Val.(*authenticator.Response)
		return response, response != nil, done.Err
	case <-ctx.Done():
		return nil, false, ctx.Err()
	}
}

// review returns nil for a rejected token.
func (r *rememberingReviewer) review(ctx context.Context, hash tokenHash, token string) (*authenticator.Response, error) {
	response, ok, err := r.reviewer.AuthenticateToken(ctx, token)
	switch {
	case err != nil:
		return nil, err
	case !ok:
		r.refused.Add(hash, struct{}{})
		return nil, nil
	}
	r.accepted.Add(hash, response)
	return response, nil
}

// userBytes estimates the memory of a user.
func userBytes(u user.Info) int {
	const userInfo, text = 200, 16
	bytes := userInfo + len(u.GetName()) + len(u.GetUID())
	for _, group := range u.GetGroups() {
		bytes += len(group) + text
	}
	for name, values := range u.GetExtra() {
		bytes += len(name) + userInfo
		for _, value := range values {
			bytes += len(value) + text
		}
	}
	return bytes
}
