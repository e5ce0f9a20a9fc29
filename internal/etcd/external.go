package etcd

import (
	"context"
	"errors"
	"fmt"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/client/pkg/v3/transport"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

const (
	// reachTimeout bounds the wait for an external etcd, which may start at the same time.
	reachTimeout = 5 * time.Second
	reachPause   = 200 * time.Millisecond
	// askTimeout bounds one request to one server.
	askTimeout = 2 * time.Second
)

// External is an etcd elsewhere, with the files of its authority and of a client certificate;
// "" for none.
type External struct {
	Servers                   []string
	CAFile, CertFile, KeyFile string
}

// Reach returns when one of the servers answers. The error after five seconds without an
// answer has what the last request to each server came to.
func (e External) Reach(ctx context.Context) error {
	clients, err := e.clients()
	defer func() {
		for _, c := range clients {
			_ = c.Close() // nothing was written
		}
	}()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, reachTimeout)
	defer cancel()
	var last error
	for {
		err := askAll(ctx, clients)
		if err == nil {
			return nil
		}
		if last == nil || ctx.Err() == nil { // what the deadline cuts short says less
			last = err
		}
		select {
		case <-time.After(reachPause):
		case <-ctx.Done():
			return last
		}
	}
}

// clients are one for each server, so that each has an error of its own.
func (e External) clients() ([]*clientv3.Client, error) {
	config := clientv3.Config{Logger: zap.NewNop(), MaxUnaryRetries: 1}
	if e.CAFile != "" || e.CertFile != "" || e.KeyFile != "" {
		tls, err := transport.TLSInfo{TrustedCAFile: e.CAFile, CertFile: e.CertFile, KeyFile: e.KeyFile}.ClientConfig()
		if err != nil {
			return nil, fmt.Errorf("reading the certificates: %w", err)
		}
		config.TLS = tls
	}
	var clients []*clientv3.Client
	for _, server := range e.Servers {
		config.Endpoints = []string{server}
		c, err := clientv3.New(config)
		if err != nil {
			return clients, fmt.Errorf("%s: %w", server, err)
		}
		clients = append(clients, c)
	}
	return clients, nil
}

// askAll is nil when one of the servers answers.
func askAll(ctx context.Context, clients []*clientv3.Client) error {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	errs := make(chan error, len(clients))
	for _, c := range clients {
		go func() { errs <- ask(ctx, c) }()
	}
	var all []error
	for range clients {
		err := <-errs
		if err == nil {
			return nil
		}
		all = append(all, err)
	}
	return errors.Join(all...)
}

// ask is nil for an answer, whatever it is. The client's own call would wait for a connection
// and lose the reason why there is none.
func ask(ctx context.Context, c *clientv3.Client) error {
	_, err := pb.NewMaintenanceClient(c.ActiveConnection()).Status(ctx, &pb.StatusRequest{})
	switch status.Code(err) {
	case codes.Unavailable:
		return fmt.Errorf("%s: %s", c.Endpoints()[0], status.Convert(err).Message())
	case codes.DeadlineExceeded, codes.Canceled:
		return fmt.Errorf("%s: no answer in time", c.Endpoints()[0])
	}
	return nil
}
