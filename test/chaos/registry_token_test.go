package chaos_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	digest "github.com/opencontainers/go-digest"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/authentication/user"

	"weir.dev/weir/internal/auth/roles"
	"weir.dev/weir/internal/auth/tokens"
	"weir.dev/weir/internal/testenv"
	"weir.dev/weir/internal/testenv/testimage"
)

const guarding = namespace + "/pushed"

// tokenSlack is by how much the clocks of registries may differ: so much longer than it
// says a token is good.
const tokenSlack = 10 * time.Second

// TestRegistryCredentialsEndInMidUpload ends the credentials of clients in the middle of
// an upload.
func TestRegistryCredentialsEndInMidUpload(t *testing.T) {
	t.Parallel()
	p := boot(t, t.TempDir())
	prepare(t, p)
	admin := administrator(t, p)
	t.Run("expired", func(t *testing.T) {
		t.Parallel()
		expiredInMidUpload(t, p, admin)
	})
	t.Run("deleted", func(t *testing.T) {
		t.Parallel()
		deletedInMidUpload(t, p, admin)
	})
}

// expiredInMidUpload holds that a token which expires costs nothing of an upload: the
// request that it was shown with goes on, the next is refused with a challenge, and with a
// token that is asked for then, the upload goes on where it was.
func expiredInMidUpload(t *testing.T, p *process, admin registryClient) {
	ctx, content := t.Context(), testimage.Noise(3*chunkBytes)
	grant := tokens.Grant{Type: "repository", Name: guarding, Actions: []string{"pull", "push"}}
	who := &user.DefaultInfo{Name: "admin", Groups: []string{user.SystemPrivilegedGroup, user.AllAuthenticated}}
	upload, err := admin.begin(ctx, guarding)
	if err != nil {
		t.Fatal(err)
	}
	// The registry issues none for less than a minute. This one is its own but for the
	// time: it is as if issued a while ago, and good for a few seconds more.
	c := admin.as(bearerAuthorization(signedToken(t, p, who, time.Now().Add(-tokenSlack), 5*time.Second, grant)))
	if err := c.patch(ctx, upload, content[:chunkBytes], 0); err != nil {
		t.Fatal(err)
	}
	// A chunk is under way while it expires.
	slow, feed := io.Pipe()
	sent := make(chan error, 1)
	go func() {
		_, err := c.want(ctx, http.StatusAccepted, http.MethodPatch, upload, slow)
		sent <- err
	}()
	if _, err := feed.Write(content[chunkBytes : chunkBytes+100]); err != nil {
		t.Fatal(err)
	}
	testenv.Eventually(t, "the token to expire", func() error { return wantChallenge(ctx, c, "/v2/"+guarding+"/tags/list") })
	if _, err := feed.Write(content[chunkBytes+100 : 2*chunkBytes]); err != nil {
		t.Fatal(err)
	}
	feed.Close()
	if err := <-sent; err != nil {
		t.Errorf("the chunk that was under way: %v", err)
	}
	goOn(t, c, admin.as(bearerAuthorization(admin.token(t, "repository:"+guarding+":pull,push"))), upload, content, 2*chunkBytes)
}

// deletedInMidUpload holds that an account which is deleted in the middle of an upload
// cannot go on with it, and that somebody else who may push can.
func deletedInMidUpload(t *testing.T, p *process, admin registryClient) {
	ctx, content := t.Context(), testimage.Noise(2*chunkBytes)
	c := admin.as(basicAuthorization(account(t, p, namespace, "leaving", roles.RegistryEditor)))
	var upload string
	testenv.Eventually(t, "the right to push", func() (err error) {
		upload, err = c.begin(ctx, guarding)
		return err
	})
	if err := c.patch(ctx, upload, content[:chunkBytes], 0); err != nil {
		t.Fatal(err)
	}
	if err := p.kube.CoreV1().ServiceAccounts(namespace).Delete(ctx, "leaving", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	testenv.Eventually(t, "the account to be gone", func() error { return wantChallenge(ctx, c, upload) })
	goOn(t, c, admin, upload, content, chunkBytes)
}

// goOn checks that an upload is closed to a client whose credentials have ended, and has
// another, with good ones, finish it.
func goOn(t *testing.T, ended, c registryClient, upload string, content []byte, size int) {
	t.Helper()
	ctx, d := t.Context(), digest.FromBytes(content)
	for _, method := range []string{http.MethodPatch, http.MethodPut, http.MethodDelete, http.MethodGet} {
		_, err := ended.want(ctx, http.StatusUnauthorized, method, upload+"?digest="+d.String(), bytes.NewReader(content[size:]))
		if err != nil {
			t.Errorf("with credentials that have ended: %v", err)
		}
	}
	if err := c.wantReceived(ctx, upload, size); err != nil {
		t.Error(err)
	}
	if err := c.finish(ctx, upload, content[size:], d); err != nil {
		t.Error(err)
	}
	if _, err := c.content(ctx, blobOf(guarding, d), d); err != nil {
		t.Error(err)
	}
}

// wantChallenge is nil once a client is refused and told where to log in.
func wantChallenge(ctx context.Context, c registryClient, path string) error {
	reply, err := c.want(ctx, http.StatusUnauthorized, http.MethodGet, path, nil)
	if err != nil {
		return err
	}
	challenge := reply.header.Get("Www-Authenticate")
	if reply.code() != "UNAUTHORIZED" || !strings.HasPrefix(challenge, "Bearer ") && !strings.HasPrefix(challenge, "Basic ") {
		return fmt.Errorf("challenge %q, %s", challenge, reply.body)
	}
	if strings.HasPrefix(c.authorization, "Bearer ") && (!contains(challenge, "scope=\"repository:"+guarding+":pull\"") || !contains(challenge, "invalid_token")) {
		return errors.New("the challenge is " + challenge)
	}
	return nil
}
