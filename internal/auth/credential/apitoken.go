package credential

import (
	"encoding/base64"
	"encoding/json"
	"strings"
	"time"

	"weir.dev/weir/internal/auth/tokens"
)

// maxExpiry bounds the seconds of an expiry, far beyond all calendars.
const maxExpiry = 1 << 40

// EndOf reads the end of a token of the API. ok is false for a token that does not say when
// it ends, such as one of a static file or of a webhook.
//
// Nothing is verified: the end counts only for a token that the API has accepted.
func EndOf(apiToken string) (end tokens.End, ok bool) {
	c, ok := claimsOf(apiToken)
	if !ok {
		return tokens.End{}, false
	}
	end.At, end.Bound, end.Issuer = c.expiry(), c.bound(), c.Issuer
	return end, !end.At.IsZero() || len(end.Bound) > 0
}

// claims are those of a JWT that bound it. Service accounts have two forms: with an object
// "kubernetes.io", and the older one of tokens that are kept in a Secret and never expire.
type claims struct {
	Issuer     string     `json:"iss"`
	Expires    float64    `json:"exp"`
	Kubernetes kubernetes `json:"kubernetes.io"`

	Namespace  string `json:"kubernetes.io/serviceaccount/namespace"`
	SecretName string `json:"kubernetes.io/serviceaccount/secret.name"`
}

type kubernetes struct {
	Namespace string `json:"namespace"`
	Pod       *ref   `json:"pod"`
	Secret    *ref   `json:"secret"`
	Node      *ref   `json:"node"`
}

type ref struct {
	Name string `json:"name"`
	UID  string `json:"uid"`
}

// claimsOf reads the claims of a JWT.
func claimsOf(token string) (c claims, ok bool) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return claims{}, false
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil || json.Unmarshal(payload, &c) != nil {
		return claims{}, false
	}
	return c, true
}

// expiry is zero for a token without one.
func (c claims) expiry() time.Time {
	if c.Expires <= 0 || c.Expires > maxExpiry {
		return time.Time{}
	}
	return time.Unix(int64(c.Expires), 0)
}

// bound are the objects that the token ends with, beside its account. The older form names
// a Secret without its UID.
func (c claims) bound() (all []tokens.Object) {
	k := c.Kubernetes
	add := func(resource, namespace string, r *ref) {
		if r != nil {
			all = append(all, tokens.Object{Resource: resource, Namespace: namespace, Name: r.Name, UID: r.UID})
		}
	}
	add(tokens.ResourceSecrets, k.Namespace, k.Secret)
	add(tokens.ResourcePods, k.Namespace, k.Pod)
	if k.Pod == nil { // the node of a pod is information, not a bound
		add(tokens.ResourceNodes, "", k.Node)
	}
	if c.SecretName != "" {
		add(tokens.ResourceSecrets, c.Namespace, &ref{Name: c.SecretName})
	}
	return all
}
