package tokens

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/klog/v2"
)

// Where the keys are kept unless KeyOptions say otherwise.
const (
	DefaultNamespace   = metav1.NamespaceSystem
	DefaultName        = "weir-registry-token-key"
	DefaultRotateAfter = 30 * 24 * time.Hour
)

const (
	// secretType keeps other uses of the Secret apart.
	secretType corev1.SecretType = "weir.dev/registry-token-key"
	// ringKey is the Secret's one entry.
	ringKey = "keys.json"

	// rereadAfter is how old the knowledge of the keys may grow: a Secret that a user
	// deletes, to have no token valid any more, takes effect within it.
	rereadAfter = 30 * time.Second
	// strangersPerSecond bounds the reads on behalf of tokens whose key is not known.
	strangersPerSecond = 2
	readTimeout        = 5 * time.Second
	// attempts bounds how often another replica may come first.
	attempts = 5
)

// Secrets are those of one namespace, as far as Keys need them; a client's
// CoreV1().Secrets(namespace) is one.
type Secrets interface {
	Get(ctx context.Context, name string, o metav1.GetOptions) (*corev1.Secret, error)
	Create(ctx context.Context, s *corev1.Secret, o metav1.CreateOptions) (*corev1.Secret, error)
	Update(ctx context.Context, s *corev1.Secret, o metav1.UpdateOptions) (*corev1.Secret, error)
}

// KeyOptions say which Secret holds the keys.
type KeyOptions struct {
	// Secrets are those of the namespace.
	Secrets Secrets
	// Name is the Secret's; "" is DefaultName.
	Name string
	// RotateAfter is the age at which the key that signs is replaced; 0 is
	// DefaultRotateAfter.
	RotateAfter time.Duration
	// Now is the time; nil is time.Now.
	Now func() time.Time
}

// Keys are the keys that sign tokens. They live in one Secret that all replicas share:
// the first that needs a key makes it, the first to find it too old replaces it, and all
// others read it when they meet a token that names a key they have not seen.
type Keys struct {
	o         KeyOptions
	strangers *rate.Limiter
	known     atomic.Pointer[knowledge]
	mu        sync.Mutex // held while the Secret is read or written
}

// knowledge is the result and the time of the last read.
type knowledge struct {
	ring ring
	read time.Time
}

// NewKeys takes the keys from a Secret, which is first read when a token is.
func NewKeys(o KeyOptions) *Keys {
	o.Name = cmp.Or(o.Name, DefaultName)
	o.RotateAfter = cmp.Or(o.RotateAfter, DefaultRotateAfter)
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Keys{o: o, strangers: rate.NewLimiter(strangersPerSecond, strangersPerSecond)}
}

// signing is the key to sign with: made if there is none, replaced where reading it shows
// that it is too old.
func (k *Keys) signing(ctx context.Context) (key, error) {
	fresh := func(known *knowledge) bool { return known != nil && len(known.ring.Keys) > 0 && !k.old(known) }
	known, err := k.refresh(ctx, fresh, k.ensure)
	if err != nil && (known == nil || len(known.ring.Keys) == 0) {
		return key{}, err
	}
	return known.ring.Keys[0], nil
}

// verifying is the key of a name; found is false for one that is not in use.
func (k *Keys) verifying(ctx context.Context, id string) (found key, ok bool, err error) {
	known, err := k.refresh(ctx, func(known *knowledge) bool { return known != nil && !k.old(known) }, k.read)
	if known == nil {
		return key{}, false, err
	}
	if found, ok := known.ring.find(id); ok {
		return found, true, nil
	}
	if !k.strangers.Allow() {
		return key{}, false, nil
	}
	asked := k.o.Now()
	known, err = k.refresh(ctx, func(known *knowledge) bool { return known.read.After(asked) }, k.read)
	if err != nil {
		return key{}, false, err
	}
	found, ok = known.ring.find(id)
	return found, ok, nil
}

// inUse reports whether a key still verifies, as far as is known.
func (k *Keys) inUse(id string) bool {
	known := k.known.Load()
	if known == nil || k.old(known) {
		return false // look again
	}
	_, ok := known.ring.find(id)
	return ok
}

func (k *Keys) old(known *knowledge) bool { return k.o.Now().Sub(known.read) > rereadAfter }

// refresh returns what is known, once enough says it will do; else it has it read first,
// one caller for all who wait. With an error comes what was known before, if anything:
// keys that were good a minute ago are while the API cannot be asked.
func (k *Keys) refresh(ctx context.Context, enough func(*knowledge) bool, read func(context.Context) (ring, error)) (*knowledge, error) {
	if known := k.known.Load(); enough(known) {
		return known, nil
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	before := k.known.Load()
	if enough(before) {
		return before, nil
	}
	// Others wait for this, so that it does not end with the request it began with.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), readTimeout)
	defer cancel()
	r, err := read(ctx)
	if err != nil {
		err = fmt.Errorf("the key of registry tokens, Secret %s: %w", k.o.Name, err)
		klog.FromContext(ctx).Error(err, "Maintaining the key of registry tokens failed; retrying", "in", rereadAfter)
		if before != nil {
			k.known.Store(&knowledge{ring: before.ring, read: k.o.Now()})
		}
		return before, err
	}
	known := &knowledge{ring: r, read: k.o.Now()}
	k.known.Store(known)
	return known, nil
}

// read reads the Secret. One that is not there has no keys.
func (k *Keys) read(ctx context.Context) (ring, error) {
	_, r, err := k.get(ctx)
	return r, err
}

func (k *Keys) get(ctx context.Context) (*corev1.Secret, ring, error) {
	s, err := k.o.Secrets.Get(ctx, k.o.Name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, ring{}, nil
	}
	if err != nil {
		return nil, ring{}, fmt.Errorf("reading it: %w", err)
	}
	r, err := parseRing(s.Data[ringKey])
	if err != nil {
		return nil, ring{}, fmt.Errorf("reading %s in it: %w; delete the Secret to create a new key, which invalidates all registry tokens", ringKey, err)
	}
	return s, r, nil
}

// ensure reads the Secret, makes it if it is not there, and replaces a key that is too
// old. Whichever replica's write comes first counts for all.
func (k *Keys) ensure(ctx context.Context) (ring, error) {
	for range attempts {
		s, r, err := k.get(ctx)
		if err != nil {
			return ring{}, err
		}
		now := k.o.Now()
		if s != nil && !r.due(k.o.RotateAfter, now) {
			return r, nil
		}
		next := r.rotated(now)
		err = k.write(ctx, s, next)
		switch {
		case err == nil:
			return next, nil
		case apierrors.IsAlreadyExists(err) || apierrors.IsConflict(err) || (s != nil && apierrors.IsNotFound(err)):
			continue // another replica did it, or it was deleted
		case s != nil:
			klog.FromContext(ctx).Error(err, "Rotating the key of registry tokens failed; keeping the old key", "secret", k.o.Name)
			return r, nil
		default:
			return ring{}, fmt.Errorf("creating it: %w", err)
		}
	}
	return ring{}, errors.New("every attempt to write it conflicted with another change")
}

// write makes the Secret, or replaces the keys in the one that was read.
func (k *Keys) write(ctx context.Context, read *corev1.Secret, r ring) error {
	data, err := r.encode()
	if err != nil {
		return err
	}
	if read == nil {
		_, err = k.o.Secrets.Create(ctx, &corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{Name: k.o.Name},
			Type:       secretType,
			Data:       map[string][]byte{ringKey: data},
		}, metav1.CreateOptions{})
		return err
	}
	s := read.DeepCopy()
	s.Data[ringKey] = data
	_, err = k.o.Secrets.Update(ctx, s, metav1.UpdateOptions{})
	return err
}
