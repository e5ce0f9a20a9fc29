package testenv

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/yaml"

	"weir.dev/weir/internal/auth/roles"
	"weir.dev/weir/internal/config"
	"weir.dev/weir/internal/controller/manager"
	"weir.dev/weir/internal/etcd"
	"weir.dev/weir/internal/standalone"
)

// SeparateVariable names a program weir, of which image API, controllers and registry run in processes
// of their own beside an etcd of their own: the tests hold for them as for one process.
const SeparateVariable = "WEIR_TEST_SEPARATE"

// separation are the components that run in processes of their own.
type separation struct {
	program, config string
	options         *standalone.Options // as they were asked for
	registry        string              // host:port, "" for none
	etcd            *etcd.Server
	apiPort         int // of the image API
	running         []*separateProcess
}

// separateProcess is one of them.
type separateProcess struct {
	component string
	port      int // of its probes and metrics
	cmd       *exec.Cmd
	output    bytes.Buffer
	ended     chan error
}

// apiService is the Service of the image API.
const apiService = "kube-system/weir-apiserver"

// separate takes image API, controllers and registry out of the options, for processes of their own,
// and starts etcd. It returns nil if all are to run in this process.
func separate(ctx context.Context, o *standalone.Options) (*separation, error) {
	program := os.Getenv(SeparateVariable)
	if program == "" {
		return nil, nil
	}
	if o.ConfigFile != "" {
		settings, err := config.Load(o.ConfigFile)
		if err != nil {
			return nil, err
		}
		o.Config, o.ConfigFile = settings, ""
	}
	asked, registry := *o, *o.Registry
	asked.Registry = &registry
	s := &separation{program: program, config: filepath.Join(o.DataDir, "separate.yaml"), options: &asked}
	if registry.Enabled {
		if err := s.chooseAddress(); err != nil {
			return nil, err
		}
		if o.Config.Registry.InternalHostname == "" {
			o.Config.Registry.InternalHostname = s.registry
		}
	}
	if o.InternalHostname != "" {
		o.Config.Registry.InternalHostname = o.InternalHostname
	}
	if o.ExternalHostname != "" {
		o.Config.Registry.ExternalHostnames = []string{o.ExternalHostname}
	}
	o.Registry.Enabled, o.Controllers, o.ImageAPI = false, manager.Selection{"none"}, false
	o.Config.APIVersion, o.Config.Kind = config.APIVersion, config.Kind
	text, err := yaml.Marshal(o.Config)
	if err == nil {
		err = os.WriteFile(s.config, text, 0o600)
	}
	if err != nil {
		return nil, fmt.Errorf("writing the configuration of separate processes: %w", err)
	}
	if s.apiPort, err = freePort(); err != nil {
		return nil, err
	}
	o.Host.Services = map[string]string{apiService: fmt.Sprintf("127.0.0.1:%d", s.apiPort)}
	if s.etcd, err = etcd.Start(ctx, etcd.Options{Dir: filepath.Join(o.DataDir, "etcd"), Settings: o.Config.Etcd}); err != nil {
		return nil, err
	}
	o.Host.ControlPlane.Etcd.StorageConfig.Transport.ServerList = []string{s.etcd.Endpoint()}
	return s, nil
}

// chooseAddress chooses a free port for the registry, which both the API server and the registry
// have to be told.
func (s *separation) chooseAddress() error {
	r := s.options.Registry
	if r.Port == 0 {
		port, err := freePort()
		if err != nil {
			return err
		}
		r.Port = port
	}
	host := r.BindAddress.String()
	if r.BindAddress.IsUnspecified() {
		host = "127.0.0.1"
	}
	s.registry = net.JoinHostPort(host, strconv.Itoa(r.Port))
	return nil
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	return l.Addr().(*net.TCPAddr).Port, l.Close()
}

// start starts the processes over a server that is ready, and waits until they are.
func (s *separation) start(ctx context.Context, kubeconfig string, client kubernetes.Interface) error {
	o := s.options
	as := identities{client, kubeconfig, filepath.Dir(s.config)}
	own, err := as.kubeconfigFor(ctx, roles.APIServer)
	if err != nil {
		return err
	}
	err = s.run("apiserver", own, s.apiPort, "--etcd-servers="+s.etcd.Endpoint(), "--apiservice="+apiService,
		"--registries-conf="+o.Outbound.RegistriesConf, "--import-ca-dir="+o.Outbound.CADir)
	if err == nil {
		err = waitForAPI(ctx, client)
	}
	if err != nil {
		return err
	}
	if names := strings.Join(o.Controllers, ","); names != "none" {
		own, err := as.kubeconfigFor(ctx, roles.Controllers)
		if err != nil {
			return err
		}
		if err := s.run("controllers", own, 0, "--controllers="+names); err != nil {
			return err
		}
	}
	if s.registry == "" {
		return nil
	}
	if own, err = as.kubeconfigFor(ctx, roles.Registry); err != nil {
		return err
	}
	r := o.Registry
	return s.run("registry", own, 0, "--data-dir="+o.DataDir, "--registry-bind-address="+r.BindAddress.String(),
		"--registry-port="+strconv.Itoa(r.Port), "--registry-tls-cert-file="+r.CertFile, "--registry-tls-private-key-file="+r.KeyFile,
		"--registries-conf="+o.Outbound.RegistriesConf, "--import-ca-dir="+o.Outbound.CADir,
		"--registry-access-log-path="+r.AccessLog.Path, "--registry-access-log-format="+r.AccessLog.Format)
}

// waitForAPI waits until the aggregator passes requests for the image API on.
func waitForAPI(ctx context.Context, client kubernetes.Interface) error {
	var last error
	err := wait.PollUntilContextTimeout(ctx, 20*time.Millisecond, StartTimeout, true, func(ctx context.Context) (bool, error) {
		for _, path := range []string{"/apis/image.openshift.io/v1", "/apis/weir.dev/v1alpha1"} {
			if _, last = client.Discovery().RESTClient().Get().AbsPath(path).DoRaw(ctx); last != nil {
				return false, nil
			}
		}
		return true, nil
	})
	if err != nil {
		return fmt.Errorf("waiting for the image API behind the aggregator: %w (last answer: %v)", err, last)
	}
	return nil
}

// run starts a component with its probes at a port, 0 for any.
func (s *separation) run(component, kubeconfig string, port int, args ...string) (err error) {
	if port == 0 {
		if port, err = freePort(); err != nil {
			return err
		}
	}
	args = append([]string{component, "--kubeconfig=" + kubeconfig, "--config=" + s.config, "--bind-address=127.0.0.1", "--secure-port=" + strconv.Itoa(port)}, args...)
	p := &separateProcess{component: component, port: port, cmd: exec.Command(s.program, args...), ended: make(chan error, 1)}
	p.cmd.Stdout, p.cmd.Stderr, p.cmd.SysProcAttr = &p.output, &p.output, endWithParent()
	if err := p.cmd.Start(); err != nil {
		return fmt.Errorf("starting weir %s: %w", component, err)
	}
	s.running = append(s.running, p)
	go func() { p.ended <- p.cmd.Wait() }()
	return p.waitReady()
}

func (p *separateProcess) waitReady() error {
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableKeepAlives: true}}
	for end := time.Now().Add(StartTimeout); time.Now().Before(end); {
		answer, err := client.Get(fmt.Sprintf("https://127.0.0.1:%d/readyz", p.port))
		if err == nil {
			_ = answer.Body.Close()
			if answer.StatusCode == http.StatusOK {
				return nil
			}
		}
		select {
		case err := <-p.ended:
			p.ended <- err
			return fmt.Errorf("weir %s ended: %v\n%s", p.component, err, p.output.String())
		case <-time.After(20 * time.Millisecond):
		}
	}
	return fmt.Errorf("weir %s is not ready after %v", p.component, StartTimeout)
}

// stop ends the processes, the last one first, and reports each that did not end well.
func (s *separation) stop() error {
	var errs []error
	for _, p := range slices.Backward(s.running) {
		_ = p.cmd.Process.Signal(syscall.SIGTERM) // it may have ended
		if err := <-p.ended; err != nil {
			errs = append(errs, fmt.Errorf("%s: %w\n%s", p.component, err, p.output.String()))
		}
	}
	return errors.Join(errs...)
}

// close ends etcd, which the server needs until it has stopped.
func (s *separation) close() {
	if s != nil {
		s.etcd.Close()
	}
}

// ControllerMetrics are the metrics of the process that runs the controllers.
func (e *Env) ControllerMetrics(ctx context.Context) (string, error) {
	config := rest.CopyConfig(e.Config)
	if e.separation != nil {
		for _, p := range e.separation.running {
			if p.component == "controllers" {
				config.Host = fmt.Sprintf("https://127.0.0.1:%d", p.port)
				config.TLSClientConfig.Insecure, config.TLSClientConfig.CAData, config.TLSClientConfig.CAFile = true, nil, "" // its certificate is its own
			}
		}
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return "", err
	}
	text, err := client.Discovery().RESTClient().Get().AbsPath("/metrics").DoRaw(ctx)
	return string(text), err
}
