package inbound

import (
	"crypto/tls"
	"fmt"
)

// CheckCertificate returns an error for a certificate without its key, or an unusable pair. Both
// are files, or both "".
func CheckCertificate(certFlag, cert, keyFlag, key string) error {
	if cert == "" && key == "" {
		return nil
	}
	if cert == "" || key == "" {
		return fmt.Errorf("%s and %s must be set together", certFlag, keyFlag)
	}
	if _, err := tls.LoadX509KeyPair(cert, key); err != nil {
		return fmt.Errorf("%s %s, %s %s: %w", certFlag, cert, keyFlag, key, err)
	}
	return nil
}
