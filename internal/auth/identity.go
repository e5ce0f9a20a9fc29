package auth

import (
	"crypto/sha256"
	"encoding/json"

	authorizationv1 "k8s.io/api/authorization/v1"
	"k8s.io/apiserver/pkg/authentication/user"
)

// IdentityOf is a text that two users share only if they may do the same. It has 32 bytes, whatever
// groups and extras they have.
func IdentityOf(u user.Info) string {
	text, err := json.Marshal([]any{u.GetName(), u.GetUID(), u.GetGroups(), u.GetExtra()})
	if err != nil {
		panic(err) // strings, and lists and maps of strings
	}
	sum := sha256.Sum256(text)
	return string(sum[:])
}

// ReviewOf is the access review of a right of a user.
func ReviewOf(u user.Info, right authorizationv1.ResourceAttributes) authorizationv1.SubjectAccessReviewSpec {
	extra := map[string]authorizationv1.ExtraValue{}
	for key, values := range u.GetExtra() {
		extra[key] = values
	}
	return authorizationv1.SubjectAccessReviewSpec{
		User: u.GetName(), UID: u.GetUID(), Groups: u.GetGroups(), Extra: extra, ResourceAttributes: &right,
	}
}
