package standalone

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/wait"
	quota "k8s.io/apiserver/pkg/quota/v1"
	genericapiserver "k8s.io/apiserver/pkg/server"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/klog/v2"

	"weir.dev/weir/internal/apiserver"
	"weir.dev/weir/internal/caches"
	"weir.dev/weir/internal/component"
	"weir.dev/weir/internal/etcd"
	"weir.dev/weir/internal/host"
	"weir.dev/weir/internal/hostclient"
	"weir.dev/weir/internal/imageapi"
	"weir.dev/weir/internal/imageserver"
	"weir.dev/weir/internal/outbound"
	"weir.dev/weir/internal/registryserver"
)

const (
	readyInterval = 20 * time.Millisecond
	renewInterval = 12 * time.Hour
)

// Server is a whole Weir that is ready to run.
type Server struct {
	options *Options
	caches  *caches.Pool
	lock    *dataLock
	etcd    *etcd.Server
	control *host.Completed
	host    *host.Host

	outbound *outbound.Outbound
	registry *registryserver.Registry // nil if there is none
	parts    *component.Group
	first    bool
}

// New starts what the rest needs (the data folder's lock, etcd), opens the port
// and builds the servers. Close releases what Run never got to.
func New(ctx context.Context, o *Options) (_ *Server, err error) {
	if err := o.complete(); err != nil {
		return nil, err
	}
	s := &Server{options: o, parts: component.NewGroup(), caches: caches.NewPool(o.Config.CacheBytes())}
	defer func() {
		if err != nil {
			s.Close()
		}
	}()
	if s.lock, err = lockData(o.DataDir); err != nil {
		return nil, err
	}
	_, missing := os.Stat(filepath.Join(o.DataDir, host.KubeconfigName))
	s.first = errors.Is(missing, os.ErrNotExist)
	perListener, err := o.connections()
	if err != nil {
		return nil, err
	}
	o.Host.MaxConnections = perListener
	if s.registry, err = s.openRegistry(ctx, perListener); err != nil {
		return nil, err
	}
	if err := s.startEtcd(ctx); err != nil {
		return nil, err
	}
	if s.outbound, err = outbound.New(s.outboundOptions()); err != nil {
		return nil, err
	}
	o.Host.Room = s.hostRoom()
	if s.control, err = o.Host.Complete(ctx); err != nil {
		return nil, err
	}
	if s.host, err = host.New(s.control, s.imageAPI()); err != nil {
		return nil, err
	}
	if err := s.addParts(); err != nil {
		return nil, err
	}
	allRunning.add(s)
	allCaches.add(s.caches)
	s.parts.Start("caches", s.caches.Run)
	return s, s.control.WriteKubeconfig()
}

// First reports whether this is the first start over the data folder.
func (s *Server) First() bool { return s.first }

// ServesImageAPI reports whether the image API runs in this process.
func (s *Server) ServesImageAPI() bool { return s.options.ImageAPI }

// URL is where the API is served.
func (s *Server) URL() string { return s.control.Server() }

// Registry is host:port of the integrated registry, "" when it is not served.
func (s *Server) Registry() string {
	if s.registry == nil {
		return ""
	}
	return s.registry.Address()
}

// RegistryURL is where the integrated registry is served, "" when it is not.
func (s *Server) RegistryURL() string {
	if s.registry == nil {
		return ""
	}
	return s.registry.URL()
}

// Kubeconfig is the path of the admin's kubeconfig.
func (s *Server) Kubeconfig() string { return s.control.Kubeconfig() }

// Loopback is a client config with every right inside the process.
func (s *Server) Loopback() *rest.Config { return s.host.Loopback() }

// WaitReady returns when everything that was started is ready to use.
func (s *Server) WaitReady(ctx context.Context) error {
	client, err := kubernetes.NewForConfig(s.loopbackFor("readiness"))
	if err != nil {
		return fmt.Errorf("waiting for the server to be ready: %w", err)
	}
	return wait.PollUntilContextCancel(ctx, readyInterval, true, func(ctx context.Context) (bool, error) {
		// A full disk makes a server not ready for new work, and is reported elsewhere.
		_, err := client.Discovery().RESTClient().Get().AbsPath("/readyz").Param("exclude", roomCheck).DoRaw(ctx)
		return err == nil, nil
	})
}

// Run serves until ctx ends or a part fails, then stops every part.
func (s *Server) Run(ctx context.Context) error {
	defer s.Close()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	if s.etcd != nil {
		failed := s.etcd.Err()
		go func() {
			select {
			case err := <-failed:
				cancel(fmt.Errorf("etcd ended by itself: %w", err))
			case <-ctx.Done():
			}
		}()
	}
	defer context.AfterFunc(s.parts.Context(), func() {
		if err := s.parts.Err(); err != nil {
			cancel(err)
		}
	})()
	err := s.host.Run(ctx)
	if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, context.Canceled) {
		err = errors.Join(cause, err)
	}
	return err
}

// Close stops what runs and releases the data folder. It may be called again.
func (s *Server) Close() {
	allRunning.remove(s)
	allCaches.remove(s.caches)
	s.parts.Stop()
	if s.registry != nil {
		s.registry.Stop()
	}
	if s.outbound != nil {
		s.outbound.Close()
		s.outbound = nil
	}
	if s.control != nil {
		s.control.Release()
	}
	if s.etcd != nil {
		s.etcd.Close()
		s.etcd = nil
	}
	if s.lock != nil {
		s.lock.release()
		s.lock = nil
	}
}

func (s *Server) startEtcd(ctx context.Context) error {
	if !s.options.embedsEtcd() {
		return s.options.reachEtcd(ctx)
	}
	var err error
	if s.etcd, err = etcd.Start(ctx, etcd.Options{Dir: s.options.etcdFolder(), Settings: s.options.Config.Etcd}); err != nil {
		return err
	}
	s.options.Host.ControlPlane.Etcd.StorageConfig.Transport.ServerList = []string{s.etcd.Endpoint()}
	return nil
}

// addParts has everything beside the servers start with them and end before them.
func (s *Server) addParts() error {
	start := func(genericapiserver.PostStartHookContext) error {
		s.parts.Start("registry rules", func(ctx context.Context) error {
			return s.outbound.FollowRules(ctx, s.loopbackFor("registry-rules"))
		})
		s.parts.Start("certificates", s.renewCertificates)
		s.parts.Start("room", s.watchRoom)
		if err := s.startRegistry(); err != nil {
			return err
		}
		return s.startControllers()
	}
	stop := func() error {
		if s.registry != nil {
			s.registry.Stop()
		}
		s.parts.Stop()
		return nil
	}
	if err := errors.Join(s.host.AddReadyzCheck(roomHealth{s}), s.host.AddReadyzCheck(s.parts)); err != nil {
		return err
	}
	if s.registry != nil {
		for _, check := range s.registry.Checks() {
			if err := s.host.AddReadyzCheck(check); err != nil {
				return err
			}
		}
	}
	return errors.Join(s.host.AddPostStartHook("weir-parts", start), s.host.AddPreShutdownHook("weir-parts", stop))
}

// renewCertificates looks after the certificates twice a day until ctx ends.
func (s *Server) renewCertificates(ctx context.Context) error {
	ticks := time.NewTicker(renewInterval)
	defer ticks.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticks.C:
			if err := s.control.RenewCertificates(); err != nil {
				klog.FromContext(ctx).Error(err, "the certificates could not be renewed; trying again", "in", renewInterval)
			}
		}
	}
}

// loopbackFor returns a client config whose requests can be recognized in the audit log.
func (s *Server) loopbackFor(part string) *rest.Config {
	config := hostclient.For(s.host.Loopback(), part)
	config.QPS = -1 // the server's own fairness decides, not a client's guess
	return config
}

// imageAPI returns the image API as a part of the control plane, or the description of one that runs in
// a process of its own.
func (s *Server) imageAPI() host.Extension {
	extension := host.Extension{
		GroupVersions: apiserver.GroupVersions(),
		LongRunning:   apiserver.LongRunning,
		Uncollected:   []schema.GroupResource{imageapi.Resource(imageapi.Images)},
		QuotaEvaluators: func(lister quota.ListerForResourceFunc) []quota.Evaluator {
			return imageserver.QuotaEvaluators(lister, func() *rest.Config { return s.host.Loopback() })
		},
	}
	if s.options.ImageAPI {
		extension.New = s.newImageAPI
	}
	return extension
}

func (s *Server) newImageAPI(base host.Base, delegate genericapiserver.DelegationTarget) (*genericapiserver.GenericAPIServer, error) {
	config, err := imageserver.Parts{
		Settings: s.options.Config, Host: base.Config.LoopbackClientConfig, Hosts: s.hosts(), Importer: s.outbound.Importer, Node: s.outbound.Node,
		Caches: s.caches, AccountIssuers: s.options.Host.AccountIssuers(),
	}.APIConfig()
	if err != nil {
		return nil, err
	}
	config.Generic, config.Etcd, config.Storage, config.Informers = base.Config, base.Etcd, base.Room.Storage, base.Informers
	return apiserver.New(config, delegate)
}
