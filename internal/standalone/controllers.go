package standalone

import (
	"context"
	"fmt"
	"hash/fnv"
	"os"

	"weir.dev/weir/internal/controller/manager"
)

// newManager makes the controllers, which are ordinary clients of the API.
func (s *Server) newManager() (*manager.Manager, error) {
	o := s.options
	election := o.Election
	var err error
	if election.Identity, err = identity(o.DataDir); err != nil {
		return nil, err
	}
	return manager.New(s.loopbackFor("controllers"), manager.Options{
		Controllers: o.Controllers,
		Import:      o.Config.Imports.Controller,
		Schedule:    o.Config.ScheduleOptions(),
		Election:    election,
	})
}

// startControllers starts the controllers that are switched on.
func (s *Server) startControllers() error {
	m, err := s.newManager()
	if err != nil {
		return err
	}
	s.parts.Start("controllers", func(ctx context.Context) error { return m.Run(ctx) })
	return nil
}

// identity is that of the process that serves a data folder. It is the same after a restart, which
// therefore need not wait for the Lease of a process that was killed.
func identity(dataDir string) (string, error) {
	name, err := os.Hostname()
	if err != nil {
		return "", fmt.Errorf("reading the name of this machine: %w", err)
	}
	h := fnv.New64a()
	_, _ = h.Write([]byte(dataDir)) // never fails
	return fmt.Sprintf("%s_%x", name, h.Sum64()), nil
}
