package standalone

import (
	"fmt"
	"time"

	certutil "k8s.io/client-go/util/cert"
	"k8s.io/component-base/metrics"
	"k8s.io/klog/v2"
)

var certificateDesc = metrics.NewDesc("weir_certificate_expiration_timestamp_seconds",
	"When the certificate that a listener serves with expires, in seconds since 1970.", []string{"listener"}, nil, metrics.ALPHA, "")

// certificateFiles are the certificates that are served, by listener.
func (s *Server) certificateFiles() map[string]string {
	files := map[string]string{"api": s.options.Host.ControlPlane.SecureServing.ServerCert.CertKey.CertFile}
	if s.registry != nil {
		if file := s.registry.CertificateFile(); file != "" {
			files["registry"] = file
		}
	}
	return files
}

// collectCertificates reads the files, which are served as they are a few seconds later.
func (s *Server) collectCertificates(ch chan<- metrics.Metric) {
	for listener, file := range s.certificateFiles() {
		end, err := expiry(file)
		if err != nil {
			klog.V(2).InfoS("The metric weir_certificate_expiration_timestamp_seconds is left out", "listener", listener, "err", err)
			continue
		}
		ch <- metrics.NewLazyConstMetric(certificateDesc, metrics.GaugeValue, float64(end.Unix()), listener)
	}
}

// expiry is the end of the first certificate of a file, which is the server's own.
func expiry(file string) (time.Time, error) {
	chain, err := certutil.CertsFromFile(file)
	if err != nil {
		return time.Time{}, fmt.Errorf("reading the certificate %s: %w", file, err)
	}
	return chain[0].NotAfter, nil
}
