package freshstore

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"k8s.io/apiserver/pkg/storage/storagebackend"
)

// The pauses of a connection without traffic are those of the generic server's own.
const (
	dialTimeout      = 20 * time.Second
	keepaliveTime    = 30 * time.Second
	keepaliveTimeout = 10 * time.Second
)

// revisions reads the revisions of keys in etcd.
type revisions struct{ client *clientv3.Client }

// newRevisions connects to the etcd of a store, in the background.
func newRevisions(t storagebackend.TransportConfig) (*revisions, error) {
	config, err := tlsOf(t)
	if err != nil {
		return nil, fmt.Errorf("reading the certificates for etcd: %w", err)
	}
	client, err := clientv3.New(clientv3.Config{
		Endpoints: t.ServerList, TLS: config, Logger: zap.NewNop(),
		DialTimeout: dialTimeout, DialKeepAliveTime: keepaliveTime, DialKeepAliveTimeout: keepaliveTimeout,
	})
	if err != nil {
		return nil, fmt.Errorf("connecting to etcd at %v: %w", t.ServerList, err)
	}
	return &revisions{client}, nil
}

// isAt reports whether the last change of a key was at a revision, as of now. It is false if that
// is not known: the caller reads the key itself then, and gets the error.
func (r *revisions) isAt(ctx context.Context, key string, revision uint64) bool {
	response, err := r.client.Get(ctx, key, clientv3.WithKeysOnly())
	return err == nil && len(response.Kvs) == 1 && uint64(response.Kvs[0].ModRevision) == revision
}

func (r *revisions) close() { _ = r.client.Close() } // nothing is lost with it

var errNoCertificates = errors.New("the file holds no certificate")

// tlsOf is nil for a server without TLS.
func tlsOf(t storagebackend.TransportConfig) (*tls.Config, error) {
	if t.CertFile == "" && t.KeyFile == "" && t.TrustedCAFile == "" {
		return nil, nil
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if t.TrustedCAFile != "" {
		bundle, err := os.ReadFile(t.TrustedCAFile)
		if err != nil {
			return nil, err
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(bundle) {
			return nil, fmt.Errorf("%s: %w", t.TrustedCAFile, errNoCertificates)
		}
	}
	if t.CertFile != "" {
		// Read with each handshake, so that a renewed certificate counts.
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			pair, err := tls.LoadX509KeyPair(t.CertFile, t.KeyFile)
			return &pair, err
		}
	}
	return config, nil
}
