package tokens

import (
	"context"
	"strconv"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/authentication/user"
)

// store keeps one Secret as the API does: with versions, and refusing stale writes.
type store struct {
	mu      sync.Mutex
	secret  *corev1.Secret
	version int
	gets    int
	// Errors that the operations answer with.
	getErr, createErr, updateErr error
}

var secrets = corev1.Resource("secrets")

func (s *store) Get(_ context.Context, name string, _ metav1.GetOptions) (*corev1.Secret, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.gets++
	if s.getErr != nil {
		return nil, s.getErr
	}
	if s.secret == nil {
		return nil, apierrors.NewNotFound(secrets, name)
	}
	return s.secret.DeepCopy(), nil
}

func (s *store) Create(_ context.Context, secret *corev1.Secret, _ metav1.CreateOptions) (*corev1.Secret, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.createErr != nil {
		return nil, s.createErr
	}
	if s.secret != nil {
		return nil, apierrors.NewAlreadyExists(secrets, secret.Name)
	}
	return s.put(secret), nil
}

func (s *store) Update(_ context.Context, secret *corev1.Secret, _ metav1.UpdateOptions) (*corev1.Secret, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.updateErr != nil:
		return nil, s.updateErr
	case s.secret == nil:
		return nil, apierrors.NewNotFound(secrets, secret.Name)
	case secret.ResourceVersion != s.secret.ResourceVersion:
		return nil, apierrors.NewConflict(secrets, secret.Name, nil)
	}
	return s.put(secret), nil
}

func (s *store) put(secret *corev1.Secret) *corev1.Secret {
	s.version++
	s.secret = secret.DeepCopy()
	s.secret.ResourceVersion = strconv.Itoa(s.version)
	return s.secret.DeepCopy()
}

// change lets a test do what somebody else does.
func (s *store) change(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
}

// ring is what is stored.
func (s *store) ring(t testing.TB) ring {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.secret == nil {
		return ring{}
	}
	r, err := parseRing(s.secret.Data[ringKey])
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// clock is a time that tests move.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func newClock() *clock { return &clock{at: time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)} }

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

// replica is one of several issuers over a store.
func replica(s *store, c *clock) *Issuer {
	return NewIssuer(NewKeys(KeyOptions{Secrets: s, Now: c.now}), nil)
}

var alice = &user.DefaultInfo{
	Name: "alice", UID: "1-2-3", Groups: []string{"devs", "system:authenticated"},
	Extra: map[string][]string{"example.com/scope": {"a", "b"}},
}

// issue issues an access token that must be issued.
func issue(t testing.TB, i *Issuer) string {
	t.Helper()
	text, _, err := i.Issue(context.Background(), Access, alice, []Grant{{"repository", "shop/web", []string{"pull"}}}, 5*time.Minute, End{})
	if err != nil {
		t.Fatal(err)
	}
	return text
}
