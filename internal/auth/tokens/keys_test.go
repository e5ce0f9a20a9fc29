package tokens

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// verifies wants the token accepted.
func verifies(t *testing.T, i *Issuer, text string) {
	t.Helper()
	if _, err := i.Verify(context.Background(), text); err != nil {
		t.Fatalf("the token was refused: %v", err)
	}
}

// refuses wants an InvalidError.
func refuses(t *testing.T, i *Issuer, text string) *InvalidError {
	t.Helper()
	got, err := i.Verify(context.Background(), text)
	var invalid *InvalidError
	if !errors.As(err, &invalid) {
		t.Fatalf("got %+v, %v, want an InvalidError", got, err)
	}
	return invalid
}

func TestReplicasThatComeFirstTogether(t *testing.T) {
	s, c := &store{}, newClock()
	const replicas = 16
	texts, issuers := make([]string, replicas), make([]*Issuer, replicas)
	var all sync.WaitGroup
	for n := range replicas {
		issuers[n] = replica(s, c)
		all.Go(func() { texts[n] = issue(t, issuers[n]) })
	}
	all.Wait()
	if keys := s.ring(t).Keys; len(keys) != 1 {
		t.Fatalf("%d keys were made", len(keys))
	}
	for _, i := range issuers {
		for _, text := range texts {
			verifies(t, i, text)
		}
	}
}

func TestRotation(t *testing.T) {
	s, c := &store{}, newClock()
	one, other := replica(s, c), replica(s, c)
	first := issue(t, one)
	verifies(t, other, first)
	password, _, err := one.Issue(context.Background(), Password, alice, nil, maxLifetime, End{})
	if err != nil {
		t.Fatal(err)
	}

	c.pass(DefaultRotateAfter - time.Minute)
	before := issue(t, one)
	if keys := s.ring(t).Keys; len(keys) != 1 {
		t.Fatalf("%d keys before it is time", len(keys))
	}
	c.pass(time.Minute + time.Second)
	after := issue(t, one)
	if keys := s.ring(t).Keys; len(keys) != 2 {
		t.Fatalf("%d keys after it was time", len(keys))
	}
	verifies(t, one, before)
	verifies(t, other, before)
	verifies(t, other, after) // its key is new to this one
	if !refuses(t, one, password).Expired {
		t.Error("the password of a month ago has not expired")
	}

	// Both find it time again; one key is made, and the one before the last goes.
	c.pass(DefaultRotateAfter + time.Second)
	var both sync.WaitGroup
	for _, i := range []*Issuer{one, other} {
		both.Go(func() { issue(t, i) })
	}
	both.Wait()
	keys := s.ring(t).Keys
	if len(keys) != 2 || keys[0].ID == keys[1].ID || !keys[0].Created.After(keys[1].Created) {
		t.Fatalf("there are %d keys", len(keys))
	}
}

// A key that was replaced is kept as long as a password signed with it may live.
func TestKeysThatAreReplacedOften(t *testing.T) {
	s, c := &store{}, newClock()
	i := NewIssuer(NewKeys(KeyOptions{Secrets: s, Now: c.now, RotateAfter: time.Hour}), nil)
	password, _, err := i.Issue(context.Background(), Password, alice, nil, maxLifetime, End{})
	if err != nil {
		t.Fatal(err)
	}
	for range 11 {
		c.pass(time.Hour + time.Second)
		issue(t, i)
		verifies(t, i, password)
	}
	for range 20 {
		c.pass(time.Hour + time.Second)
		issue(t, i)
	}
	if keys := s.ring(t).Keys; len(keys) > 14 {
		t.Errorf("%d keys are kept", len(keys))
	}
}

func TestDeletingTheSecretEndsEverything(t *testing.T) {
	s, c := &store{}, newClock()
	one, other := replica(s, c), replica(s, c)
	text := issue(t, one)
	verifies(t, one, text)
	verifies(t, other, text)
	s.change(func() { s.secret = nil })
	c.pass(rereadAfter + time.Second)
	refuses(t, other, text)
	if s.secret != nil {
		t.Error("a token that is refused had a key made")
	}
	again := issue(t, one)
	refuses(t, one, text)
	verifies(t, one, again)
	c.pass(rereadAfter + time.Second)
	verifies(t, other, again)
}

func TestWhileTheAPICannotBeAsked(t *testing.T) {
	s, c := &store{}, newClock()
	i := replica(s, c)
	text := issue(t, i)
	down := errors.New("connection refused")
	s.change(func() { s.getErr = down })
	c.pass(rereadAfter + time.Second)
	verifies(t, i, text)
	issue(t, i)

	// Who never saw a key can neither issue nor refuse.
	fresh := replica(s, c)
	var invalid *InvalidError
	if _, err := fresh.Verify(context.Background(), text); !errors.Is(err, down) || errors.As(err, &invalid) {
		t.Errorf("verifying: %v", err)
	}
	if _, _, err := fresh.Issue(context.Background(), Access, alice, nil, time.Minute, End{}); !errors.Is(err, down) {
		t.Errorf("issuing: %v", err)
	}
	s.change(func() { s.getErr = nil })
	verifies(t, fresh, text)
	verifies(t, fresh, issue(t, fresh))
}

func TestAKeyThatCannotBeReplacedGoesOn(t *testing.T) {
	s, c := &store{}, newClock()
	i := replica(s, c)
	issue(t, i)
	s.change(func() { s.updateErr = apierrors.NewForbidden(secrets, DefaultName, errors.New("no")) })
	c.pass(DefaultRotateAfter + time.Hour)
	verifies(t, i, issue(t, i))
	if keys := s.ring(t).Keys; len(keys) != 1 {
		t.Errorf("there are %d keys", len(keys))
	}
	s.change(func() { s.updateErr = nil })
	c.pass(rereadAfter + time.Second)
	issue(t, i)
	if keys := s.ring(t).Keys; len(keys) != 2 {
		t.Errorf("there are %d keys once it may be written", len(keys))
	}
}

func TestASecretThatSomebodyEdited(t *testing.T) {
	short := `{"keys":[{"id":"a","created":"2030-01-01T00:00:00Z","secret":"c2VjcmV0LXNlY3JldA=="}]}`
	twice := strings.Replace(`{"keys":[K,K]}`, "K", `{"id":"a","created":"2030-01-01T00:00:00Z","secret":"c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LXNlY3JldA=="}`, 2)
	for _, content := range []string{"", "{}", `{"keys":[]}`, "not JSON: c2VjcmV0LXNlY3JldA", short, twice} {
		s, c := &store{}, newClock()
		good := issue(t, replica(s, c))
		s.change(func() { s.secret.Data[ringKey] = []byte(content) })
		i := replica(s, c)
		_, _, err := i.Issue(context.Background(), Access, alice, nil, time.Minute, End{})
		if err == nil || !strings.Contains(err.Error(), DefaultName) || strings.Contains(err.Error(), "c2Vj") {
			t.Errorf("%s: %v; want an error that names the Secret and not what is in it", content, err)
		}
		var invalid *InvalidError
		if _, err := i.Verify(context.Background(), good); err == nil || errors.As(err, &invalid) {
			t.Errorf("%s: verifying: %v", content, err)
		}
	}
}

// Tokens that name a key nobody has do not make this server read the Secret for each.
func TestStrangersDoNotWearOutTheAPI(t *testing.T) {
	s, c := &store{}, newClock()
	i := replica(s, c)
	issue(t, i)
	stranger := issue(t, replica(&store{}, c))
	before := s.gets
	for range 200 {
		refuses(t, i, stranger)
	}
	// Reads are let through by the clock on the wall: a few may be, not two hundred.
	if reads := s.gets - before; reads > 20 {
		t.Errorf("the Secret was read %d times", reads)
	}
}

func TestErrorsOfWritingTell(t *testing.T) {
	s, c := &store{createErr: fmt.Errorf("no space")}, newClock()
	_, _, err := replica(s, c).Issue(context.Background(), Access, alice, nil, time.Minute, End{})
	if err == nil || !strings.Contains(err.Error(), "creating it: no space") {
		t.Errorf("got %v", err)
	}
}
