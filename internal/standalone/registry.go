package standalone

import (
	"context"
	"net/netip"

	"weir.dev/weir/internal/outbound"
	"weir.dev/weir/internal/registryserver"
	"weir.dev/weir/internal/stream"
)

// openRegistry opens the registry's port and storage; it returns nil if the registry is switched
// off.
func (s *Server) openRegistry(ctx context.Context, maxConnections int) (*registryserver.Registry, error) {
	o := s.options
	if !o.Registry.Enabled {
		return nil, nil
	}
	return registryserver.Open(ctx, registryserver.Config{
		Options: o.Registry, Settings: o.Config, DataDir: o.DataDir, MaxConnections: maxConnections, Caches: s.caches, LeastReserve: o.leastReserve,
	})
}

// outboundOptions are those of the client of other registries.
func (s *Server) outboundOptions() outbound.Options {
	options := s.options.outboundOptions()
	options.Caches = s.caches
	if s.registry != nil {
		options.Own = s.registry.Addresses()
	}
	return options
}

func (o *Options) outboundOptions() outbound.Options {
	options := o.Outbound
	options.Config, options.DenyLoopback, options.Own = o.Config, o.reachableFromElsewhere(), []netip.AddrPort(nil)
	return options
}

// startRegistry serves the registry over the API of this process.
func (s *Server) startRegistry() error {
	if s.registry == nil {
		return nil
	}
	host := registryserver.Host{
		Config: s.loopbackFor("registry"), Upstream: s.outbound.Client, Node: s.outbound.Node, AccountIssuers: s.options.Host.AccountIssuers(),
	}
	if o := s.options.Registry; o.Secure() && o.CertFile == "" {
		var err error
		if host.CertFile, host.KeyFile, err = s.control.ServingCertificate("registry", o.BindAddress, s.registry.Hostnames()...); err != nil {
			return err
		}
	}
	return s.registry.Start(s.parts, host)
}

// hosts are the names of the integrated registry, with those that it had before.
func (s *Server) hosts() stream.Registries {
	if s.registry == nil {
		return s.options.Config.Registries()
	}
	return s.registry.Hosts()
}
