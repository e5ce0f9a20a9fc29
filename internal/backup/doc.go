// Package backup saves and restores the data of a Weir: etcd, the keys and the registry's files.
// It works while Weir runs, in an order that leaves no reference to missing data.
package backup
