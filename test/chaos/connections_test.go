package chaos_test

import (
	"errors"
	"net"
	"net/http"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Connections that are opened and say nothing, more than the process may have files, end
// nothing: both listeners go on to answer, and so does the storage.
func TestMoreConnectionsThanFiles(t *testing.T) {
	binary, err := weir()
	if err != nil {
		t.Fatal(err)
	}
	for _, files := range []int{256, 512} {
		t.Run(strconv.Itoa(files), func(t *testing.T) {
			dir := t.TempDir()
			script := "ulimit -n " + strconv.Itoa(files) + ` && exec "$0" "$@"`
			p := runCommand(t, dir, exec.Command("sh", append([]string{"-c", script, binary}, serveArgs(dir)...)...))
			p.waitReady(t)
			if !strings.Contains(p.output.String(), "The limit of open files is low") {
				t.Error("the low limit is not reported")
			}
			registry := p.registry(t)
			api := strings.TrimPrefix(p.config.Host, "https://")
			for round := range 3 {
				for _, address := range []string{api, registry} {
					for range files {
						holdOpen(t, address)
					}
				}
				p.works(t, registry, "round-"+strconv.Itoa(round))
			}
		})
	}
}

// holdOpen opens a connection until the test ends.
func holdOpen(t *testing.T, address string) {
	t.Helper()
	c, err := net.DialTimeout("tcp", address, 10*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
}

// works fails the test unless the process writes to its storage and answers on both
// listeners, to new connections.
func (p *process) works(t *testing.T, registry, namespace string) {
	t.Helper()
	select {
	case <-p.ended:
		t.Fatalf("the server ended: %v\n%s", p.err, p.output)
	default:
	}
	if err := p.connect(); err != nil {
		t.Fatalf("%s: the API does not answer: %v", namespace, err)
	}
	if _, err := p.kube.CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}, metav1.CreateOptions{}); err != nil {
		t.Errorf("%s: the storage does not take a write: %v", namespace, err)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 10 * time.Second}
	answer, err := client.Get("http://" + registry + "/v2/")
	if err == nil {
		err = answer.Body.Close()
		if answer.StatusCode != http.StatusUnauthorized {
			err = errors.New(answer.Status)
		}
	}
	if err != nil {
		t.Errorf("%s: the registry does not answer: %v", namespace, err)
	}
}
