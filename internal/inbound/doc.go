// Package inbound provides listeners that accept no more connections than the process has
// files for. A listener that is full makes room: it closes a connection that serves no request,
// of the address that has the most of them. Clients that only hold connections so take them from
// each other, not from the rest, and not from the storage.
package inbound
