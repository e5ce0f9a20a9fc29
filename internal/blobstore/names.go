package blobstore

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"
)

const (
	// maxNames bounds how many names are kept: those that were seen last.
	maxNames = 64
	// maxNameBytes bounds one name: a domain name and a port.
	maxNameBytes = 253 + len(":65535")
)

// Name is a name under which this registry was served.
type Name struct {
	// Host is host[:port] in lower case.
	Host string `json:"host"`
	// LastSeen is when it was last known to be one of the registry's, in whole seconds,
	// UTC.
	LastSeen time.Time `json:"lastSeen"`
}

// RememberNames records the names, host[:port], under which the registry is served now, and
// returns those under which it was ever served, sorted by host: the 64 that were seen last.
// ErrInvalid for a text that cannot be a host; then nothing is recorded.
//
// When two processes write at once, the names of one may be lost until it calls again. A
// damaged file is logged and replaced by one with the given names. Any other error is a
// failure of storage, and the file is unchanged.
func (s *Store) RememberNames(ctx context.Context, names []string, now time.Time) ([]Name, error) {
	for _, name := range names {
		if !isHost(strings.ToLower(name)) {
			return nil, fmt.Errorf("saving a name of the registry: %w: %q is not host[:port]", ErrInvalid, name)
		}
	}
	known, err := readState[[]Name](ctx, s, namesPath)
	if err != nil {
		return nil, err
	}
	merged := mergeNames(known, names, now)
	if len(names) == 0 {
		return merged, nil
	}
	return merged, s.writeState(ctx, namesPath, merged)
}

// mergeNames adds names that are seen now to the known ones, which come from storage and may
// hold anything. A time in the future becomes now, so that a wrong clock does not keep a name
// for ever.
func mergeNames(known []Name, names []string, now time.Time) []Name {
	now = now.UTC().Truncate(time.Second)
	seen := map[string]time.Time{}
	add := func(host string, at time.Time) {
		if host = strings.ToLower(host); !isHost(host) {
			return
		}
		if at = at.UTC().Truncate(time.Second); at.After(now) {
			at = now
		}
		if last, ok := seen[host]; !ok || at.After(last) {
			seen[host] = at
		}
	}
	for _, name := range known {
		add(name.Host, name.LastSeen)
	}
	for _, name := range names {
		add(name, now)
	}
	merged := make([]Name, 0, len(seen))
	for host, at := range seen {
		merged = append(merged, Name{Host: host, LastSeen: at})
	}
	slices.SortFunc(merged, func(a, b Name) int {
		if order := b.LastSeen.Compare(a.LastSeen); order != 0 {
			return order
		}
		return strings.Compare(a.Host, b.Host)
	})
	merged = merged[:min(len(merged), maxNames)]
	slices.SortFunc(merged, func(a, b Name) int { return strings.Compare(a.Host, b.Host) })
	return merged
}

// isHost reports whether a name can be host[:port], with an IPv6 address in brackets. It
// checks the characters and the length, not the grammar.
func isHost(name string) bool {
	if name == "" || len(name) > maxNameBytes || strings.IndexByte(".-_:]", name[0]) >= 0 {
		return false
	}
	for i := range len(name) {
		switch c := name[i]; {
		case c >= 'a' && c <= 'z', c >= '0' && c <= '9', strings.IndexByte(".-_:[]", c) >= 0:
		default:
			return false
		}
	}
	return true
}
