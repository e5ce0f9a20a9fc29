package credential

import (
	"context"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sync/singleflight"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/client-go/metadata"

	"weir.dev/weir/internal/auth/tokens"
	"weir.dev/weir/internal/caches"
)

const (
	// knownBytes bounds the memory for objects that are remembered.
	knownBytes = 4 << 20
	// knownTTL is how long a token lasts after an object that it is bound to.
	knownTTL = 10 * time.Second
	// goneTTL is longer: a UID never comes back.
	goneTTL = time.Minute
	// readTimeout bounds one look.
	readTimeout = 10 * time.Second
)

// GoneError reports an object that is gone, or replaced by another of its name.
type GoneError struct{ Object tokens.Object }

func (e *GoneError) Error() string {
	return fmt.Sprintf("it ended with %s %s", e.Object.Resource, types.NamespacedName{Namespace: e.Object.Namespace, Name: e.Object.Name})
}

// Objects looks for the objects that tokens are bound to. It may be used by many goroutines
// at once.
type Objects struct {
	client  metadata.Interface
	issuers []string
	now     func() time.Time
	known   *caches.Cache[tokens.Object, *GoneError] // nil for objects that exist
	flight  singleflight.Group
}

// NewObjects looks with the client, which must be allowed to get the metadata of
// serviceaccounts, secrets, pods and nodes. issuers are those of the tokens of all service
// accounts that are objects there. What it remembers is bounded by the pool, if that is not
// nil. now is the time; nil is time.Now. The objects of one namespace do not drive out those of
// others.
func NewObjects(client metadata.Interface, issuers []string, p *caches.Pool, now func() time.Time) *Objects {
	if now == nil {
		now = time.Now
	}
	known := caches.New(p, caches.Options[tokens.Object, *GoneError]{
		Name: "token_objects", Bytes: knownBytes, Life: knownTTL, Now: now,
		Cost: func(o tokens.Object, _ *GoneError) int {
			return 2 * (len(o.Resource) + len(o.Namespace) + len(o.Name) + len(o.UID))
		},
		Tenant: func(o tokens.Object) string { return o.Namespace },
	})
	return &Objects{client: client, issuers: issuers, now: now, known: known}
}

// Exist returns nil if all objects exist. The error is a *GoneError, or says that the API
// did not answer.
func (o *Objects) Exist(ctx context.Context, bound []tokens.Object) error {
	for _, object := range bound {
		if err := o.exists(ctx, object); err != nil {
			return err
		}
	}
	return nil
}

func (o *Objects) exists(ctx context.Context, object tokens.Object) error {
	if gone, ok := o.known.Get(object); ok && gone != nil {
		return gone
	} else if ok {
		return nil
	}
	// Others wait for this, so that it does not end with the request it began with.
	_, err, _ := o.flight.Do(fmt.Sprintf("%q", object), func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), readTimeout)
		defer cancel()
		uid, err := o.uid(ctx, object)
		switch {
		case err != nil:
			return nil, err
		case uid != object.UID:
			gone := &GoneError{object}
			o.known.AddUntil(object, gone, o.now().Add(goneTTL))
			return nil, gone
		}
		o.known.Add(object, nil)
		return nil, nil
	})
	return err
}

// Complete adds the account of a user to the end of a credential, if the user is a service
// account of this cluster, and the UIDs that are missing. Objects that cannot bound the user's token
// are left out. The error is a *GoneError, or says that the API did not answer.
func (o *Objects) Complete(ctx context.Context, u user.Info, end tokens.End) (tokens.End, error) {
	var bound []tokens.Object
	account, ok := tokens.AccountOf(u.GetName())
	if ok && o.elsewhere(end) {
		return tokens.End{At: end.At, Issuer: end.Issuer}, nil
	}
	if ok {
		bound = slices.DeleteFunc(slices.Clone(end.Bound), func(o tokens.Object) bool { return !boundsTokensOf(account, o) })
		if account.UID = u.GetUID(); !slices.Contains(bound, account) {
			bound = slices.Insert(bound, 0, account)
		}
	}
	for i, object := range bound {
		if object.UID != "" {
			if err := o.exists(ctx, object); err != nil {
				return tokens.End{}, err
			}
			continue
		}
		uid, err := o.uid(ctx, object)
		if err != nil {
			return tokens.End{}, err
		}
		if uid == "" {
			return tokens.End{}, &GoneError{object}
		}
		bound[i].UID = uid
	}
	return tokens.End{At: end.At, Bound: bound}, nil
}

// elsewhere reports whether a service account is an object of another cluster. Only the verified issuer
// of its credential says so: that there is no such account here means that it was deleted. What is
// issued for it ends with that credential, which has to have an end therefore.
func (o *Objects) elsewhere(end tokens.End) bool {
	return len(o.issuers) > 0 && end.Issuer != "" && !end.At.IsZero() && !slices.Contains(o.issuers, end.Issuer)
}

// boundsTokensOf reports whether a token of a service account can be bound to an object. Beside a
// client certificate a token is not verified: anything may be written in it.
func boundsTokensOf(account, o tokens.Object) bool {
	if o.Resource != tokens.ResourceNodes && o.Namespace != account.Namespace {
		return false
	}
	return len(validation.NameIsDNSSubdomain(o.Name, false)) == 0
}

// uid is the UID of the object that has the name now, "" if there is none.
func (o *Objects) uid(ctx context.Context, object tokens.Object) (string, error) {
	found, err := o.client.Resource(corev1.SchemeGroupVersion.WithResource(object.Resource)).Namespace(object.Namespace).Get(ctx, object.Name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("reading %s %s/%s, to which a token is bound: %w", object.Resource, object.Namespace, object.Name, err)
	}
	if found.DeletionTimestamp != nil && !found.DeletionTimestamp.After(o.now()) {
		return "", nil
	}
	return string(found.UID), nil
}
