package registryserver

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"k8s.io/apiserver/pkg/server/dynamiccertificates"
	"k8s.io/client-go/tools/cache"

	"weir.dev/weir/internal/component"
)

const (
	// headerTimeout bounds how long a client may take to send a request's header; bodies
	// may take as long as they make progress.
	headerTimeout = 30 * time.Second
	// maxHeaderBytes is well above tokens, which have 8 KiB at most.
	maxHeaderBytes = 64 << 10
	// keepAlive is how long a connection may rest between two requests.
	keepAlive = 3 * time.Minute
)

// Start makes the handler over the API and starts serving, beside other components of a group. The
// registry has to be stopped before the group.
func (r *Registry) Start(g *component.Group, host Host) error {
	r.host = host
	if err := r.compose(g); err != nil {
		return err
	}
	serve, err := r.certificates(g)
	if err != nil {
		return err
	}
	r.server = &http.Server{Handler: r.bounded.Handler(r.handler), ReadHeaderTimeout: headerTimeout, IdleTimeout: keepAlive, MaxHeaderBytes: maxHeaderBytes}
	g.Start("registry", func(ctx context.Context) error {
		if !cache.WaitForCacheSync(ctx.Done(), r.directory.HasSynced) {
			return nil // it is stopping
		}
		r.serving.Store(true)
		return serve()
	})
	g.Start("abandoned uploads", r.collectUploads)
	g.Start("registry reconciliation", r.reconcile)
	g.Start("registry comparison", r.compareContent)
	g.Start("registry storage usage", r.measureUsage)
	g.Start("registry names", r.keepNames)
	g.Start("registry keeper", r.handler.RunKeeper)
	g.Start("registry storage", r.watchStorage)
	return r.startScrubber(g)
}

// certificates returns the function that serves: over HTTP, or over TLS with a certificate
// that is read again when its file changes.
func (r *Registry) certificates(g *component.Group) (serve func() error, err error) {
	o := r.config.Options
	if !o.Secure() {
		return func() error { return served(r.server.Serve(r.listener)) }, nil
	}
	certFile, keyFile := o.CertFile, o.KeyFile
	if certFile == "" {
		certFile, keyFile = r.host.CertFile, r.host.KeyFile
	}
	content, err := dynamiccertificates.NewDynamicServingContentFromFiles("registry", certFile, keyFile)
	if err != nil {
		return nil, fmt.Errorf("reading the registry's certificate (--registry-tls-cert-file): %w", err)
	}
	g.Start("registry certificate", func(ctx context.Context) error {
		content.Run(ctx, 1)
		return nil
	})
	r.certificateFile.Store(&certFile)
	certificate := currentCertificate{content: content}
	return func() error {
		r.server.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: certificate.get}
		return served(r.server.ServeTLS(r.listener, "", ""))
	}, nil
}

// Hostnames are the names, without ports, that a certificate of the registry is for.
func (r *Registry) Hostnames() []string {
	settings := &r.settings().Registry
	names := append([]string{settings.InternalHostname}, settings.ExternalHostnames...)
	for i, name := range names {
		if host, _, err := net.SplitHostPort(name); err == nil {
			names[i] = host
		}
	}
	return names
}

// currentCertificate parses a certificate again only when its file has changed.
type currentCertificate struct {
	content dynamiccertificates.CertKeyContentProvider
	parsed  atomic.Pointer[parsedCertificate]
}

type parsedCertificate struct {
	pem         string
	certificate tls.Certificate
}

func (c *currentCertificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	cert, key := c.content.CurrentCertKeyContent()
	if last := c.parsed.Load(); last != nil && last.pem == string(cert) {
		return &last.certificate, nil
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return nil, fmt.Errorf("reading the registry's certificate: %w", err)
	}
	c.parsed.Store(&parsedCertificate{pem: string(cert), certificate: pair})
	return &pair, nil
}

// served returns the error of a server that ended; an orderly stop is none.
func served(err error) error {
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return fmt.Errorf("serving the registry: %w", err)
}
