package v1alpha1

import "k8s.io/apimachinery/pkg/runtime"

// DeepCopyInto copies t over into.
func (t *RegistryToken) DeepCopyInto(into *RegistryToken) {
	*into = *t
	t.ObjectMeta.DeepCopyInto(&into.ObjectMeta)
	into.Status.ExpirationTimestamp = t.Status.ExpirationTimestamp.DeepCopy()
}

// DeepCopy is a copy that shares nothing with t.
func (t *RegistryToken) DeepCopy() *RegistryToken {
	if t == nil {
		return nil
	}
	into := new(RegistryToken)
	t.DeepCopyInto(into)
	return into
}

// DeepCopyObject implements runtime.Object.
func (t *RegistryToken) DeepCopyObject() runtime.Object {
	if t == nil {
		return nil
	}
	return t.DeepCopy()
}
