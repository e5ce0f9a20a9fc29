// Package caches provides caches whose memory is bounded together.
//
// Each Cache has an estimate of the bytes of its entries and a bound of its own. A Pool bounds
// the bytes of all caches made with it: when they exceed that, the cache that is fullest, measured
// by its own bound, gives up its longest unused entries. So a flood of entries for one cache takes
// memory of the others only until these are as full as it is.
//
// Within a cache the same holds for tenants (Options.Tenant): each has a shelf, and the shelf with
// the most bytes gives up entries. So a tenant that fills a cache drives out entries of its own.
//
// Pool.Run sweeps all caches by time: entries that are too old, or were not used for a while,
// leave though nothing is added.
package caches
