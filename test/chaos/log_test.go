package chaos_test

import (
	"bytes"
	"encoding/base64"
	"flag"
	"fmt"
	"slices"
	"sync"

	"k8s.io/klog/v2"
)

// The login that pull secrets of these tests hold. It must turn up nowhere else.
const (
	secretUser     = "chaos-user"
	secretPassword = "Tr0ub4dor-chaos-password"
	// secretToken is what hostile token services hand out.
	secretToken = "chaos-token-Xyzzy-4711-abcdef"
)

// secretForms are the forms in which that login could leak.
var secretForms = []string{
	secretPassword,
	secretToken,
	base64.StdEncoding.EncodeToString([]byte(secretUser + ":" + secretPassword)),
	base64.RawURLEncoding.EncodeToString([]byte(secretPassword)),
}

// leaked returns the secrets that text holds.
func leaked(text []byte) []string {
	return slices.DeleteFunc(slices.Clone(secretForms), func(form string) bool { return !bytes.Contains(text, []byte(form)) })
}

// logWatch takes a log, and keeps what must not be in it.
type logWatch struct {
	mu    sync.Mutex
	bytes int
	found []string
}

// Write implements io.Writer. klog writes whole entries.
func (l *logWatch) Write(entry []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.bytes += len(entry)
	if bytes.Contains(entry, []byte("Observed a panic")) || len(leaked(entry)) > 0 {
		l.found = append(l.found, string(entry))
	}
	return len(entry), nil
}

func (l *logWatch) leaks() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.found)
}

func (l *logWatch) size() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.bytes
}

// watchLog has the servers of this process log a lot, into serverLog.
func watchLog() error {
	flags := flag.NewFlagSet("klog", flag.ContinueOnError)
	klog.InitFlags(flags)
	for name, value := range map[string]string{"v": "4", "logtostderr": "false", "stderrthreshold": "FATAL", "one_output": "true"} {
		if err := flags.Set(name, value); err != nil {
			return fmt.Errorf("setting up the log: %w", err)
		}
	}
	klog.SetOutput(serverLog)
	return nil
}
