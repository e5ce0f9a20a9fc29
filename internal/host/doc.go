// Package host is the embedded Kubernetes control plane of a standalone Weir:
// namespaces, secrets, config maps, service accounts and their tokens, RBAC,
// quotas, limit ranges, leases, events, custom resources, admission webhooks and
// policies, audit and API aggregation, from Kubernetes' own code. What runs on
// nodes (pods and their controllers) is left out.
//
// Other API groups join its chain of servers as an [Extension]. In a cluster
// nothing of this package runs: there the cluster is the host. It is the only
// package that may import k8s.io/kubernetes.
package host
