package manager

import (
	"context"

	"k8s.io/client-go/kubernetes"
)

// Lead is lead, for tests with an API server, whose package imports this one.
func (e Election) Lead(ctx context.Context, host kubernetes.Interface, work func(context.Context) error) error {
	return e.lead(ctx, host, work)
}
