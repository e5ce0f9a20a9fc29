// Package backup saves what a Weir stores, while it runs or not, and restores it: etcd, the
// keys and the registry's files, in an order in which nothing refers to what is missing.
package backup
