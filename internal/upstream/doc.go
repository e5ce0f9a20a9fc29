// Package upstream speaks to other people's container registries.
//
// It answers four questions, each in files of its own:
//
//   - where a pull spec is fetched from (Rules: registries.conf and the
//     cluster's mirror objects become an ordered list of sources),
//   - with what (Credentials: pull secrets and the node's own file),
//   - how (Client and Repository: ping, token, HEAD and GET with everything
//     that arrives bounded, verified and mapped to one error type),
//   - and how much (budgets: every upstream host has its own concurrency and
//     its own rate, so that a slow or refusing host holds up nobody else).
//
// Whatever arrives from a registry is foreign bytes. Sizes, counts, times and
// redirects are bounded, content is compared with its digest, and a credential
// leaves this process only towards the registry it was configured for or the
// token realm which that registry named itself.
package upstream
