package tokens

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/go-cmp/cmp"
	"k8s.io/apiserver/pkg/authentication/user"
)

func TestTokensSayWhatTheyWereIssuedFor(t *testing.T) {
	s, c := &store{}, newClock()
	i := replica(s, c)
	grants := []Grant{{"repository", "shop/web", []string{"pull", "push"}}, {"registry", "catalog", []string{"*"}}}
	for name, want := range map[string]Token{
		"access":            {Kind: Access, User: alice, Grants: grants},
		"access to nothing": {Kind: Access, User: alice, Grants: []Grant{}},
		"password":          {Kind: Password, User: &user.DefaultInfo{Name: "bob"}},
		"of an account":     {Kind: Password, User: robot, Bound: []Object{robotAccount, {ResourceSecrets, "shop", "s", "8"}}},
		"of another's":      {Kind: Access, User: robot, Grants: grants, Issuer: "https://theirs.example.com"},
	} {
		text, issued, err := i.Issue(context.Background(), want.Kind, want.User, want.Grants, 5*time.Minute, End{Bound: want.Bound, Issuer: want.Issuer})
		if err != nil {
			t.Fatal(err)
		}
		want.IssuedAt, want.ExpiresAt = c.now(), c.now().Add(5*time.Minute)
		if diff := cmp.Diff(want, issued); diff != "" {
			t.Errorf("%s, as issued (-want +got):\n%s", name, diff)
		}
		for _, verifier := range []*Issuer{i, replica(s, c)} {
			for range 2 { // the second time from memory
				got, err := verifier.Verify(context.Background(), text)
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(want, *got, cmp.Transformer("local", func(at time.Time) int64 { return at.Unix() })); diff != "" {
					t.Errorf("%s (-want +got):\n%s", name, diff)
				}
				if want.Grants != nil && got.Grants == nil {
					t.Errorf("%s: the grants read as unbounded", name)
				}
			}
		}
		if !IsOurs(text) {
			t.Errorf("%s: it is not known as ours", name)
		}
	}
}

func TestLifetimes(t *testing.T) {
	s, c := &store{}, newClock()
	i := replica(s, c)
	for name, test := range map[string]struct {
		lifetime time.Duration
		notAfter time.Time
		want     time.Duration
	}{
		"as asked":             {time.Minute, time.Time{}, time.Minute},
		"never too long":       {100 * time.Hour, time.Time{}, maxLifetime},
		"what it is for ends":  {5 * time.Minute, c.now().Add(90*time.Second + time.Millisecond), 90 * time.Second},
		"what it is for lasts": {5 * time.Minute, c.now().Add(time.Hour), 5 * time.Minute},
	} {
		_, issued, err := i.Issue(context.Background(), Access, alice, nil, test.lifetime, End{At: test.notAfter})
		if got := issued.ExpiresAt.Sub(issued.IssuedAt); err != nil || got != test.want {
			t.Errorf("%s: %s, %v, want %s", name, got, err, test.want)
		}
	}
	var invalid *InvalidError
	if _, _, err := i.Issue(context.Background(), Access, alice, nil, time.Minute, End{At: c.now()}); !errors.As(err, &invalid) {
		t.Errorf("for what has ended: %v", err)
	}
}

func TestTokensEnd(t *testing.T) {
	s, c := &store{}, newClock()
	i, other := replica(s, c), replica(s, c)
	text := issue(t, i)
	verifies(t, i, text)
	c.pass(5*time.Minute - time.Second)
	verifies(t, i, text)
	verifies(t, other, text)
	c.pass(time.Second + leeway + time.Second)
	for _, issuer := range []*Issuer{i, other} {
		if !refuses(t, issuer, text).Expired {
			t.Error("it was refused for another reason than its age")
		}
	}
}

func TestClocksThatDiffer(t *testing.T) {
	s, c := &store{}, newClock()
	behind := newClock()
	text := issue(t, replica(s, c))
	behind.pass(-leeway + time.Second)
	verifies(t, replica(s, behind), text)
	behind.pass(-3 * time.Second)
	refuses(t, replica(s, behind), text)
}

func TestNobodyGetsAToken(t *testing.T) {
	i := replica(&store{}, newClock())
	for _, u := range []user.Info{&user.DefaultInfo{}, &user.DefaultInfo{Name: user.Anonymous, Groups: []string{user.AllUnauthenticated}}} {
		if text, _, err := i.Issue(context.Background(), Password, u, nil, time.Hour, End{}); err == nil {
			t.Errorf("%q got %s", u.GetName(), text)
		}
	}
}

var (
	robot        = &user.DefaultInfo{Name: "system:serviceaccount:shop:robot", UID: "7"}
	robotAccount = Object{ResourceServiceAccounts, "shop", "robot", "7"}
)

// The token of a service account without the account's UID would go on for the next account
// of that name: it is neither issued nor taken.
func TestTokensOfServiceAccountsAreBoundToThem(t *testing.T) {
	s, c := &store{}, newClock()
	i := replica(s, c)
	for name, bound := range map[string][]Object{
		"nothing":             nil,
		"another account":     {{ResourceServiceAccounts, "shop", "other", "7"}},
		"one elsewhere":       {{ResourceServiceAccounts, "other", "robot", "7"}},
		"another resource":    {{ResourceSecrets, "shop", "robot", "7"}},
		"no UID":              {{ResourceServiceAccounts, "shop", "robot", ""}},
		"another one without": {robotAccount, {ResourceSecrets, "shop", "s", ""}},
	} {
		if text, _, err := i.Issue(context.Background(), Password, robot, nil, time.Hour, End{Bound: bound}); err == nil {
			t.Errorf("bound to %s, it is %s", name, text)
		}
		unbound := claimsOf(Token{Kind: Password, User: robot, Bound: bound, IssuedAt: c.now(), ExpiresAt: c.now().Add(time.Hour)}, "x")
		if unbound.Validate() == nil {
			t.Errorf("a token bound to %s is taken", name)
		}
	}
}

func TestIdentitiesThatFitInNoHeader(t *testing.T) {
	i := replica(&store{}, newClock())
	big := &user.DefaultInfo{Name: "eve"}
	for n := range 400 {
		big.Groups = append(big.Groups, fmt.Sprintf("a-group-with-a-long-name-%d", n))
	}
	_, _, err := i.Issue(context.Background(), Access, big, nil, time.Minute, End{})
	var large *TooLargeError
	if !errors.As(err, &large) || large.User != "eve" || large.Bytes <= MaxBytes {
		t.Fatalf("got %v", err)
	}
	big.Groups = big.Groups[:100]
	text, _, err := i.Issue(context.Background(), Access, big, nil, time.Minute, End{})
	if err != nil || len(text) > MaxBytes {
		t.Fatalf("%d bytes, %v", len(text), err)
	}
	verifies(t, i, text)
}

// forge signs claims as the issuer would, after change made them something else.
func forge(t testing.TB, k key, c *clock, method jwt.SigningMethod, secret any, change func(header map[string]any, claims jwt.MapClaims)) string {
	t.Helper()
	now := c.now().Unix()
	claims := jwt.MapClaims{
		"iss": issuer, "aud": audience, "sub": "mallory", "iat": now, "nbf": now, "exp": now + 300, "jti": "x", "kind": "access",
		"access": []any{map[string]any{"type": "repository", "name": "shop/web", "actions": []string{"pull"}}},
	}
	token := jwt.NewWithClaims(method, claims)
	token.Header["kid"], token.Header["typ"] = k.ID, tokenType
	change(token.Header, claims)
	text, err := token.SignedString(secret)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestForgeries(t *testing.T) {
	s, c := &store{}, newClock()
	i := replica(s, c)
	genuine := issue(t, i)
	k := s.ring(t).Keys[0]
	stranger := newKey(c.now())
	none := func(map[string]any, jwt.MapClaims) {}
	verifies(t, i, forge(t, k, c, jwt.SigningMethodHS256, k.Secret, none)) // so that the rest fails for one reason

	set := func(name string, value any) string {
		return forge(t, k, c, jwt.SigningMethodHS256, k.Secret, func(_ map[string]any, claims jwt.MapClaims) {
			if value == nil {
				delete(claims, name)
			} else {
				claims[name] = value
			}
		})
	}
	header := func(name string, value any) string {
		return forge(t, k, c, jwt.SigningMethodHS256, k.Secret, func(h map[string]any, _ jwt.MapClaims) { h[name] = value })
	}
	now := c.now().Unix()
	parts := strings.Split(genuine, ".")
	for name, text := range map[string]string{
		"no signature":             forge(t, k, c, jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, none),
		"no signature, cut":        parts[0] + "." + parts[1] + ".",
		"algorithm none, signed":   tampered(t, genuine, 0, "alg", "none"),
		"algorithm in small":       tampered(t, genuine, 0, "alg", "hs256"),
		"another HMAC":             forge(t, k, c, jwt.SigningMethodHS512, k.Secret, none),
		"another key":              forge(t, k, c, jwt.SigningMethodHS256, stranger.Secret, none),
		"the key's name as key":    forge(t, k, c, jwt.SigningMethodHS256, []byte(k.ID), none),
		"a key nobody has":         forge(t, stranger, c, jwt.SigningMethodHS256, stranger.Secret, none),
		"no key":                   header("kid", ""),
		"a key that is no text":    header("kid", 7),
		"a path as key":            header("kid", "../../etc/passwd"),
		"another type":             header("typ", "JWT"),
		"another user":             tampered(t, genuine, 1, "sub", "admin"),
		"more groups":              tampered(t, genuine, 1, "groups", []string{"system:masters"}),
		"more rights":              tampered(t, genuine, 1, "access", nil),
		"a longer life":            tampered(t, genuine, 1, "exp", now+3600),
		"another kind":             tampered(t, genuine, 1, "kind", "password"),
		"another issuer":           set("iss", "https://kubernetes.default.svc"),
		"another audience":         set("aud", "https://kubernetes.default.svc"),
		"no audience":              set("aud", nil),
		"no user":                  set("sub", nil),
		"no end":                   set("exp", nil),
		"no beginning":             set("nbf", nil),
		"no time of issue":         set("iat", nil),
		"the end is no time":       set("exp", "never"),
		"issued in the future":     set("iat", now+60),
		"valid in the future":      set("nbf", now+60),
		"expired":                  set("exp", now-60),
		"longer than any":          set("exp", now+int64(maxLifetime/time.Second)+60),
		"no kind":                  set("kind", nil),
		"kind unknown":             set("kind", "refresh"),
		"password with grants":     set("kind", "password"),
		"two in one":               genuine + "." + parts[2],
		"only claims":              parts[1],
		"padded":                   genuine + "=",
		"a space":                  genuine + " ",
		"empty":                    "",
		"dots":                     "..",
		"longer than the longest":  genuine + strings.Repeat("A", MaxBytes),
		"signature in another way": parts[0] + "." + parts[1] + "." + strings.ToUpper(parts[2]),
	} {
		t.Run(name, func(t *testing.T) {
			for range 2 {
				err := refuses(t, i, text)
				if len(text) > 40 && strings.Contains(err.Error(), text[:40]) {
					t.Errorf("the error has the token in it: %v", err)
				}
			}
		})
	}
	verifies(t, i, genuine)
}

// tampered changes one value of the header (part 0) or of the claims (part 1).
func tampered(t testing.TB, text string, part int, name string, value any) string {
	t.Helper()
	parts := strings.Split(text, ".")
	decoded, err := base64.RawURLEncoding.DecodeString(parts[part])
	if err != nil {
		t.Fatal(err)
	}
	var content map[string]any
	if err := json.Unmarshal(decoded, &content); err != nil {
		t.Fatal(err)
	}
	before := maps.Clone(content)
	content[name] = value
	if value == nil {
		delete(content, name)
	}
	if cmp.Equal(before, content) {
		t.Fatalf("nothing is different with %s = %v", name, value)
	}
	encoded, err := json.Marshal(content)
	if err != nil {
		t.Fatal(err)
	}
	parts[part] = base64.RawURLEncoding.EncodeToString(encoded)
	return strings.Join(parts, ".")
}

func TestOthersTokensAreNotOurs(t *testing.T) {
	header := func(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }
	for _, text := range []string{
		"", "x", "a.b.c", "sha256~abc", header(`{"alg":"RS256","kid":"x"}`) + ".e30.c2ln", header(`{"typ":"JWT"}`) + ".e30.c2ln",
		header(`{"typ":"weir-registry+jwt"}`) + ".e30", header(`{"typ":"weir-registry+jwt"}`) + ".e30.c2ln.x",
		header(`{"typ":"weir-registry+jwt","x":"`+strings.Repeat("x", 300)+`"}`) + ".e30.c2ln",
	} {
		if IsOurs(text) {
			t.Errorf("%q is taken for ours", text)
		}
	}
}

// A token that was verified before costs a look into memory.
func TestVerifyingAgainIsCheap(t *testing.T) {
	i := replica(&store{}, newClock())
	text := issue(t, i)
	ctx := context.Background()
	verifies(t, i, text)
	if n := testing.AllocsPerRun(100, func() {
		if _, err := i.Verify(ctx, text); err != nil {
			t.Fatal(err)
		}
	}); n > 1 {
		t.Errorf("%v allocations", n)
	}
}

func FuzzVerify(f *testing.F) {
	s, c := &store{}, newClock()
	i := replica(s, c)
	genuine := issue(f, i)
	k := s.ring(f).Keys[0]
	none := func(map[string]any, jwt.MapClaims) {}
	f.Add(genuine)
	f.Add(forge(f, k, c, jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, none))
	f.Add(forge(f, k, c, jwt.SigningMethodHS384, k.Secret, none))
	f.Add(tampered(f, genuine, 1, "sub", "admin"))
	f.Add(tampered(f, genuine, 0, "kid", map[string]any{}))
	f.Add("a.b.c")
	f.Fuzz(func(t *testing.T, text string) {
		IsOurs(text)
		got, err := i.Verify(context.Background(), text)
		if err == nil && text != genuine {
			t.Fatalf("%q is accepted as %+v", text, got)
		}
		var invalid *InvalidError
		if err != nil && !errors.As(err, &invalid) {
			t.Fatalf("%q: %v", text, err)
		}
	})
}

func BenchmarkVerify(b *testing.B) {
	i := replica(&store{}, newClock())
	text := issue(b, i)
	ctx := context.Background()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := i.Verify(ctx, text); err != nil {
			b.Fatal(err)
		}
	}
}
