package access

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"k8s.io/apiserver/pkg/authentication/user"

	"weir.dev/weir/internal/auth"
	"weir.dev/weir/internal/ociregistry"
	"weir.dev/weir/internal/reference"
)

// record is the detail of a denial, in the form that registry clients parse.
type record struct {
	Type   string
	Name   string
	Action string
}

// Allow implements ociregistry.Access.
func (a *Access) Allow(ctx context.Context, c ociregistry.Caller, repo reference.Repository, action ociregistry.Action) error {
	err := a.may(ctx, c, repo, action)
	var refusal *auth.Refusal
	switch {
	case err == nil:
		return nil
	case errors.As(err, &refusal) && refusal.Failure != nil:
		return unavailable(fmt.Errorf("authorizing %s in %s: %w", action, repo, refusal.Failure))
	}
	name := repo.String()
	return denied(c, repositoryScope(name, action), record{typeRepository, name, string(action)}).Because(err)
}

// AllowCluster implements ociregistry.Access.
func (a *Access) AllowCluster(ctx context.Context, c ociregistry.Caller, verb, resource, subresource string) error {
	name := resource
	if subresource != "" {
		name += "/" + subresource
	}
	wanted := record{"cluster", name, verb}
	if c.Grants != nil {
		return denied(c, "", wanted).Because(errOutsideGrants)
	}
	err := a.rights.CanInCluster(ctx, c.User, verb, resource, subresource)
	var refusal *auth.Refusal
	switch {
	case err == nil:
		return nil
	case errors.As(err, &refusal) && refusal.Failure != nil:
		return unavailable(fmt.Errorf("authorizing %s %s: %w", verb, name, refusal.Failure))
	}
	return denied(c, "", wanted).Because(err)
}

// AllowCatalog implements ociregistry.Access.
func (a *Access) AllowCatalog(c ociregistry.Caller) error {
	if mayList(c.Grants) {
		return nil
	}
	return denied(c, catalogScope, record{typeRegistry, nameCatalog, actionAll}).Because(errOutsideGrants)
}

func mayList(grants []ociregistry.Grant) bool {
	return grants == nil || slices.ContainsFunc(grants, func(g ociregistry.Grant) bool {
		return g.Type == typeRegistry && g.Name == nameCatalog && slices.Contains(g.Actions, actionAll)
	})
}

// errOutsideGrants is the error for an action outside the grants of a token.
var errOutsideGrants = errors.New("the token does not grant this action")

// may returns nil if both the caller's grants and RBAC allow the action. Every error is a
// denial, whether it is an *auth.Refusal or not.
func (a *Access) may(ctx context.Context, c ociregistry.Caller, repo reference.Repository, action ociregistry.Action) error {
	if !granted(c.Grants, repo, action) {
		return errOutsideGrants
	}
	return a.ask(ctx, c.User, repo, action)
}

// ask authorizes an action by the RBAC rights that it requires.
func (a *Access) ask(ctx context.Context, u user.Info, repo reference.Repository, action ociregistry.Action) error {
	switch action {
	case ociregistry.ActionPull, ociregistry.ActionSignatureRead:
		return a.rights.CanPull(ctx, u, repo.Namespace, repo.Stream)
	case ociregistry.ActionPush:
		if err := a.rights.CanPull(ctx, u, repo.Namespace, repo.Stream); err != nil {
			return err
		}
		return a.rights.CanPush(ctx, u, repo.Namespace, repo.Stream)
	case ociregistry.ActionSign:
		if err := a.rights.CanPull(ctx, u, repo.Namespace, repo.Stream); err != nil {
			return err
		}
		return a.rights.CanSign(ctx, u, repo.Namespace, repo.Stream)
	case ociregistry.ActionDelete:
		tags := a.rights.CanDeleteTags(ctx, u, repo.Namespace)
		if tags == nil {
			return nil
		}
		images := a.rights.CanDeleteImages(ctx, u)
		if images == nil {
			return nil
		}
		return errors.Join(failureFirst(tags, images)...)
	}
	return fmt.Errorf("unknown action %q", action)
}

// failureFirst orders two refusals so that a failed review comes first.
func failureFirst(one, other error) []error {
	var refusal *auth.Refusal
	if errors.As(other, &refusal) && refusal.Failure != nil {
		return []error{other, one}
	}
	return []error{one, other}
}

// granted reports whether the grants of a token, if it has any, include the action.
func granted(grants []ociregistry.Grant, repo reference.Repository, action ociregistry.Action) bool {
	if grants == nil {
		return true
	}
	word := string(action)
	if action == ociregistry.ActionSignatureRead {
		word = actionPull
	}
	for _, g := range grants {
		if g.Type == typeRepository && slices.Contains(g.Actions, word) && names(g.Name, repo) {
			return true
		}
	}
	return false
}

// names reports whether a name is one of the repository's.
func names(name string, repo reference.Repository) bool {
	other, err := reference.ParseRepository(name)
	return err == nil && other.Namespace == repo.Namespace && other.Stream == repo.Stream
}

// denied returns the error for a missing right. It has a challenge, so that a client can retry
// with other credentials.
func denied(c ociregistry.Caller, scope string, wanted record) *ociregistry.Error {
	e := ociregistry.NewError(ociregistry.CodeUnauthorized, "access denied: %s may not %s %s", c.User.GetName(), wanted.Action, wanted.Name)
	e.Detail = []record{wanted}
	if host := hostOf(c.Realm); c.Scheme == schemeBasic {
		e.Challenge = basicChallenge(host)
	} else {
		e.Challenge = bearerChallenge(c.Realm, host, scope, "insufficient_scope")
	}
	return e
}

// hostOf returns the host of the token endpoint's URL.
func hostOf(url string) string {
	_, rest, _ := strings.Cut(url, "://")
	host, _, _ := strings.Cut(rest, "/")
	return host
}
