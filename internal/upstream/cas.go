package upstream

import (
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// LoadCAs returns the system's CAs and, on top, those of every regular file in
// dir (links to files count; names beginning with a dot do not, so that the
// bookkeeping of a mounted ConfigMap is left out). An empty dir adds none.
// Every file without a usable certificate is reported by name; the pool then
// still holds the others.
func LoadCAs(dir string) (*x509.CertPool, error) {
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool()
	}
	if dir == "" {
		return pool, nil
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return pool, fmt.Errorf("reading CA directory: %w", err)
	}
	var errs []error
	for _, entry := range entries {
		if strings.HasPrefix(entry.Name(), ".") {
			continue
		}
		if err := addCAs(pool, filepath.Join(dir, entry.Name())); err != nil {
			errs = append(errs, err)
		}
	}
	return pool, errors.Join(errs...)
}

func addCAs(pool *x509.CertPool, path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return fmt.Errorf("reading CA file: %w", err)
	}
	if !info.Mode().IsRegular() {
		return nil
	}
	pem, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("reading CA file: %w", err)
	}
	if !pool.AppendCertsFromPEM(pem) {
		return fmt.Errorf("reading CA file %s: no certificate in PEM form", path)
	}
	return nil
}
