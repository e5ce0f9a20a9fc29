package standalone

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	imagev1 "github.com/openshift/api/image/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	genericapiserver "k8s.io/apiserver/pkg/server"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"weir.dev/weir/internal/apiserver"
	"weir.dev/weir/internal/etcd"
	"weir.dev/weir/internal/host"
	"weir.dev/weir/internal/imageapi"
	"weir.dev/weir/internal/imageapi/validation"
	"weir.dev/weir/internal/importer"
	"weir.dev/weir/internal/upstream"
)

// discoveryPriority puts the group after Kubernetes' own groups.
const discoveryPriority = 9900

// Server is a whole Weir that is ready to run.
type Server struct {
	options *Options
	lock    *dataLock
	etcd    *etcd.Server
	control *host.Completed
	host    *host.Host

	upstream *upstream.Client
	importer *importer.Importer
}

// New starts what the rest needs (the data folder's lock, etcd), opens the port
// and builds the servers. Close releases what Run never got to.
func New(ctx context.Context, o *Options) (_ *Server, err error) {
	if err := errors.Join(o.Validate(), o.complete()); err != nil {
		return nil, err
	}
	s := &Server{options: o}
	defer func() {
		if err != nil {
			s.Close()
		}
	}()
	if s.lock, err = lockData(o.DataDir); err != nil {
		return nil, err
	}
	if err := s.startEtcd(ctx); err != nil {
		return nil, err
	}
	if s.upstream, err = upstream.NewClient(upstream.Options{}); err != nil {
		return nil, err
	}
	s.importer = importer.New(importer.Options{Registries: importer.FromClient(s.upstream)})
	if s.control, err = o.Host.Complete(ctx); err != nil {
		return nil, err
	}
	if s.host, err = host.New(s.control, s.imageAPI()); err != nil {
		return nil, err
	}
	return s, s.control.WriteKubeconfig()
}

// URL is where the API is served.
func (s *Server) URL() string { return s.control.Server() }

// Kubeconfig is the path of the admin's kubeconfig.
func (s *Server) Kubeconfig() string { return s.control.Kubeconfig() }

// Loopback is a client config with every right inside the process.
func (s *Server) Loopback() *rest.Config { return s.host.Loopback() }

// OnReady calls f once everything has started.
func (s *Server) OnReady(f func()) error {
	return s.host.AddPostStartHook("weir-ready", func(hook genericapiserver.PostStartHookContext) error {
		f()
		return nil
	})
}

// Run serves until ctx ends or a part fails, then stops every part.
func (s *Server) Run(ctx context.Context) error {
	defer s.Close()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	if s.etcd != nil {
		go func() {
			select {
			case err := <-s.etcd.Err():
				cancel(fmt.Errorf("etcd ended by itself: %w", err))
			case <-ctx.Done():
			}
		}()
	}
	err := s.host.Run(ctx)
	if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, context.Canceled) {
		err = errors.Join(cause, err)
	}
	return err
}

// Close stops what runs and releases the data folder. It may be called again.
func (s *Server) Close() {
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
		return nil
	}
	var err error
	if s.etcd, err = etcd.Start(ctx, etcd.Options{Dir: filepath.Join(s.options.DataDir, "etcd")}); err != nil {
		return err
	}
	s.options.Host.ControlPlane.Etcd.StorageConfig.Transport.ServerList = []string{s.etcd.Endpoint()}
	return nil
}

// imageAPI is the image API as part of the control plane.
func (s *Server) imageAPI() host.Extension {
	return host.Extension{
		GroupVersion: imagev1.GroupVersion,
		Priority:     discoveryPriority,
		LongRunning:  apiserver.LongRunning,
		Uncollected:  []schema.GroupResource{imageapi.Resource(imageapi.Images)},
		New: func(base host.Base, delegate genericapiserver.DelegationTarget) (*genericapiserver.GenericAPIServer, error) {
			client, err := kubernetes.NewForConfig(base.Config.LoopbackClientConfig)
			if err != nil {
				return nil, fmt.Errorf("making the image API's client of the host: %w", err)
			}
			return apiserver.New(apiserver.Config{
				Generic:   base.Config,
				Etcd:      base.Etcd,
				Host:      client,
				Informers: base.Informers,
				Allowed:   validation.AnyRegistry,
				Importer:  s.importer,
			}, delegate)
		},
	}
}
