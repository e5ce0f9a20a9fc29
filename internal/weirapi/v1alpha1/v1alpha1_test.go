package v1alpha1

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

func TestDefaults(t *testing.T) {
	_, codecs := NewScheme()
	for body, want := range map[string]int64{
		`{}`:                                 DefaultExpirationSeconds,
		`{"spec":{}}`:                        DefaultExpirationSeconds,
		`{"spec":{"expirationSeconds":600}}`: 600,
	} {
		gvk := GroupVersion.WithKind(KindRegistryToken)
		obj, _, err := codecs.UniversalDecoder(internalGroupVersion).Decode([]byte(body), &gvk, nil)
		if err != nil {
			t.Fatal(err)
		}
		if got := obj.(*RegistryToken).Spec.ExpirationSeconds; got != want {
			t.Errorf("%s: %d, want %d", body, got, want)
		}
	}
}

func TestDeepCopySharesNothing(t *testing.T) {
	at := metav1.NewTime(time.Unix(1, 0))
	original := &RegistryToken{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"a": "b"}}, Status: RegistryTokenStatus{ExpirationTimestamp: &at}}
	copied := original.DeepCopy()
	if diff := cmp.Diff(original, copied); diff != "" {
		t.Errorf("(-original +copy):\n%s", diff)
	}
	copied.Labels["a"] = "c"
	copied.Status.ExpirationTimestamp.Time = time.Unix(2, 0)
	if original.Labels["a"] != "b" || !original.Status.ExpirationTimestamp.Time.Equal(time.Unix(1, 0)) {
		t.Errorf("a change of the copy changed the original: %+v", original)
	}
	var none *RegistryToken
	if none.DeepCopy() != nil || none.DeepCopyObject() != runtime.Object(nil) {
		t.Error("the copy of nothing is something")
	}
}
