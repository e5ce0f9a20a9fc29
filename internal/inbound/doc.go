// Package inbound provides listeners that bound connections by the process's limit of open files. A
// full listener closes an idle connection of the address with the most connections, so that clients
// that only hold connections displace each other, and not other clients or the storage.
package inbound
