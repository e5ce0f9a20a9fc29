package tokens

import (
	"slices"
	"time"

	"k8s.io/apiserver/pkg/authentication/serviceaccount"
)

// The resources that tokens are bound to, of the core group.
const (
	ResourceServiceAccounts = "serviceaccounts"
	ResourceSecrets         = "secrets"
	ResourcePods            = "pods"
	ResourceNodes           = "nodes"
)

// End bounds a token by the credential that it is issued for, beside its own lifetime.
type End struct {
	// At is the end of the credential; zero if it has none.
	At time.Time
	// Bound are the objects that the credential ends with.
	Bound []Object
	// Issuer is the issuer of the credential. A token has it if its user has the name of a
	// service account that is another cluster's: such a token ends with the credential and with
	// no account here.
	Issuer string
}

// Object is an object of the core group by its name and UID: an object that is made later
// under the same name is another one.
type Object struct {
	Resource  string `json:"resource"` // plural, such as "serviceaccounts"
	Namespace string `json:"namespace,omitempty"`
	Name      string `json:"name"`
	UID       string `json:"uid"`
}

// AccountOf is the service account of a user name; ok is false for another kind of user.
// Its UID is "".
func AccountOf(userName string) (account Object, ok bool) {
	namespace, name, err := serviceaccount.SplitUsername(userName)
	return Object{Resource: ResourceServiceAccounts, Namespace: namespace, Name: name}, err == nil
}

// bindsAccount reports whether a token of the user ends with its service account, if the
// user is one of this cluster, and whether all objects have a UID. issuer is that of End.
func bindsAccount(userName string, bound []Object, issuer string) bool {
	if slices.ContainsFunc(bound, func(o Object) bool { return o.UID == "" }) {
		return false
	}
	account, ok := AccountOf(userName)
	return !ok || issuer != "" || slices.ContainsFunc(bound, func(o Object) bool {
		account.UID = o.UID
		return o == account
	})
}
