package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// Bounds of RegistryTokenSpec.ExpirationSeconds.
const (
	MinExpirationSeconds     = 10 * 60
	MaxExpirationSeconds     = 12 * 60 * 60
	DefaultExpirationSeconds = 60 * 60
)

// RegistryToken asks for a password for the integrated registry. It can only be created,
// and is stored nowhere: the answer has the password, once. Whoever creates it gets a
// password for themselves; the registry then lets them do what RBAC lets them do. It is no
// credential for the API.
type RegistryToken struct {
	metav1.TypeMeta `json:",inline"`
	// metadata is not used.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// spec is what is asked for.
	// +optional
	Spec RegistryTokenSpec `json:"spec,omitempty"`
	// status is the server's answer.
	// +optional
	Status RegistryTokenStatus `json:"status,omitempty"`
}

// RegistryTokenSpec is what is asked for.
type RegistryTokenSpec struct {
	// expirationSeconds is how long the password is to be good for, from 600 (ten minutes)
	// to 43200 (twelve hours). Default 3600. It ends earlier with the credential of the
	// request, and with the user's service account.
	// +optional
	// +default=3600
	ExpirationSeconds int64 `json:"expirationSeconds,omitempty"`
}

// RegistryTokenStatus is the server's answer.
type RegistryTokenStatus struct {
	// token is the password. The user name that goes with it may be any.
	// +optional
	Token string `json:"token,omitempty"`
	// expirationTimestamp is when it ends.
	// +optional
	ExpirationTimestamp *metav1.Time `json:"expirationTimestamp,omitempty"`
}
