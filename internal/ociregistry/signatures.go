package ociregistry

import (
	"encoding/json"
	"net/http"
	"strings"

	imagev1 "github.com/openshift/api/image/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const (
	signatureVersion = 2
	// defaultSignatureType is "simple signing", the type that containers/image writes.
	defaultSignatureType = "AtomicImageV1"
	maxSignatureBytes    = 4 << 20
)

// signature is the form in which clients of OpenShift's registry read and write signatures.
type signature struct {
	SchemaVersion int `json:"schemaVersion"`
	// Name is the image's digest, "@", and the name of the signature.
	Name    string `json:"name"`
	Type    string `json:"type"`
	Content []byte `json:"content"`
}

// getSignatures serves the signatures of an image of the stream.
func (x *exchange) getSignatures() error {
	d, err := x.digest()
	if err != nil {
		return err
	}
	all, err := x.Directory.Signatures(x.context(), x.repo, d)
	if err != nil {
		return err
	}
	list := struct {
		Signatures []signature `json:"signatures"`
	}{make([]signature, len(all))}
	for i, s := range all {
		list.Signatures[i] = signature{SchemaVersion: signatureVersion, Name: s.Name, Type: s.Type, Content: s.Content}
	}
	x.w.Header()["Cache-Control"] = cacheRevision
	return x.answerJSON("application/json", list)
}

// putSignature adds a signature as the caller. The signature names its image; the digest of the
// path only determines which right was checked, and the API checks again.
func (x *exchange) putSignature() error {
	if _, err := x.digest(); err != nil {
		return err
	}
	if err := x.holdBody(pushWeight, maxSignatureBytes); err != nil {
		return err
	}
	content, err := x.readBody(maxSignatureBytes, CodeSignatureInvalid, "a signature")
	if err != nil {
		return err
	}
	s, err := parseSignature(content)
	if err != nil {
		return err
	}
	err = x.Directory.AddSignature(x.context(), x.caller.User, &imagev1.ImageSignature{
		ObjectMeta: metav1.ObjectMeta{Name: s.Name}, Type: s.Type, Content: s.Content,
	})
	if err != nil {
		return err
	}
	x.w.Header().Set("Content-Length", "0")
	x.w.WriteHeader(http.StatusCreated)
	return nil
}

func parseSignature(content []byte) (signature, error) {
	var s signature
	if err := json.Unmarshal(content, &s); err != nil {
		return signature{}, NewError(CodeSignatureInvalid, "the body is not the JSON of a signature").Because(err)
	}
	image, id, _ := strings.Cut(s.Name, "@")
	switch {
	case s.SchemaVersion != signatureVersion:
		return signature{}, NewError(CodeSignatureInvalid, "schemaVersion is %d, not %d", s.SchemaVersion, signatureVersion)
	case image == "" || id == "":
		return signature{}, NewError(CodeSignatureInvalid, "name must be IMAGE@NAME")
	case len(s.Content) == 0:
		return signature{}, NewError(CodeSignatureInvalid, "content is missing")
	}
	if s.Type == "" {
		s.Type = defaultSignatureType
	}
	return s, nil
}
