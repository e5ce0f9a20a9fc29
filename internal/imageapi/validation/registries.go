package validation

import (
	"fmt"
	"net"
	"slices"
	"strings"

	"weir.dev/weir/internal/reference"
)

// Transport determines the default ports of a registry for pull specs without a port.
type Transport int

const (
	// TransportSecure is HTTPS with verified certificates: port 443.
	TransportSecure Transport = iota
	// TransportInsecure is plain HTTP: port 80.
	TransportInsecure
	// TransportAny is for insecure tags: HTTPS without verification, or HTTP.
	TransportAny
)

func (t Transport) ports() []string {
	switch t {
	case TransportInsecure:
		return []string{portHTTP}
	case TransportAny:
		return []string{portHTTPS, portHTTP}
	}
	return []string{portHTTPS}
}

const (
	portHTTP  = "80"
	portHTTPS = "443"
)

// RegistryAllower decides which registries images may come from.
type RegistryAllower interface {
	// Allowed returns nil if the registry of spec may be used over transport, otherwise an error
	// whose text is sent to the client.
	Allowed(spec reference.PullSpec, transport Transport) error
}

// AllowedRegistry is one entry of the configuration's allow-list.
type AllowedRegistry struct {
	// DomainName is host[:port]; "*" stands for any characters, "?" for one, in both parts.
	// Without a port it is 443, or 80 when Insecure.
	DomainName string
	Insecure   bool
}

// AllowedRegistries is the allow-list for imports. An empty list, like a nil pointer, allows
// every registry.
type AllowedRegistries struct{ entries []allowedEntry }

type allowedEntry struct{ host, port string }

// NewAllowedRegistries parses an allow-list. internalRegistry, host[:port] or "", is allowed in
// addition to a non-empty list. An entry that is not host[:port] is an error.
func NewAllowedRegistries(list []AllowedRegistry, internalRegistry string) (*AllowedRegistries, error) {
	if len(list) > 0 && internalRegistry != "" {
		list = append(slices.Clone(list), AllowedRegistry{DomainName: internalRegistry})
	}
	allowed := &AllowedRegistries{}
	for i, registry := range list {
		entry, err := parseEntry(registry)
		if err != nil {
			return nil, fmt.Errorf("reading allowed registry %d: %w", i, err)
		}
		if !slices.Contains(allowed.entries, entry) {
			allowed.entries = append(allowed.entries, entry)
		}
	}
	return allowed, nil
}

func parseEntry(registry AllowedRegistry) (allowedEntry, error) {
	host, port, hasPort := strings.Cut(strings.ToLower(registry.DomainName), ":")
	if host == "" || strings.ContainsAny(host, "/@ ") {
		return allowedEntry{}, fmt.Errorf("%q is not host[:port]", registry.DomainName)
	}
	if !hasPort {
		port = portHTTPS
		if registry.Insecure {
			port = portHTTP
		}
	}
	if port == "" || strings.Trim(port, "0123456789*?") != "" {
		return allowedEntry{}, fmt.Errorf("%q has no valid port", registry.DomainName)
	}
	return allowedEntry{host, port}, nil
}

// dockerHub are the names of one registry: an entry for one allows all.
var dockerHub = reference.HubHosts()

// Allowed implements RegistryAllower.
func (a *AllowedRegistries) Allowed(spec reference.PullSpec, transport Transport) error {
	if a == nil || len(a.entries) == 0 {
		return nil
	}
	registry := spec.Registry
	if registry == "" {
		registry = reference.DefaultRegistry
	}
	host, port, hasPort := strings.Cut(strings.ToLower(registry), ":")
	ports := transport.ports()
	if hasPort {
		ports = []string{port}
	}
	for _, entry := range a.entries {
		if entry.allows(host, ports) {
			return nil
		}
	}
	return fmt.Errorf("registry %q not allowed by whitelist: %s (imports.allowedRegistries in the server's configuration)", registry, a)
}

func (e allowedEntry) allows(host string, ports []string) bool {
	sameHost := glob(e.host, host) || slices.Contains(dockerHub, e.host) && slices.Contains(dockerHub, host)
	return sameHost && slices.ContainsFunc(ports, func(port string) bool { return glob(e.port, port) })
}

// String lists the entries as in error texts: quoted, each with its port.
func (a *AllowedRegistries) String() string {
	quoted := make([]string, len(a.entries))
	for i, entry := range a.entries {
		quoted[i] = fmt.Sprintf("%q", net.JoinHostPort(entry.host, entry.port))
	}
	return strings.Join(quoted, ", ")
}

// glob matches text with a pattern in which "*" stands for any run of characters and "?" for
// one. Nothing else is special. It never looks back further than the last star, so the time is
// bounded by the product of the two lengths.
func glob(pattern, text string) bool {
	star, resume := -1, 0
	p, t := 0, 0
	for t < len(text) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, resume = p, t
			p++
		case p < len(pattern) && (pattern[p] == '?' || pattern[p] == text[t]):
			p++
			t++
		case star >= 0:
			resume++
			p, t = star+1, resume
		default:
			return false
		}
	}
	return strings.Trim(pattern[p:], "*") == ""
}

// exempting allows known repositories and delegates the decision about others.
type exempting struct {
	RegistryAllower
	known map[string]struct{}
}

// Allowed implements RegistryAllower.
func (e exempting) Allowed(spec reference.PullSpec, transport Transport) error {
	if _, found := e.known[repositoryKey(spec)]; found {
		return nil
	}
	return e.RegistryAllower.Allowed(spec, transport)
}

func (e exempting) add(pullSpec string) {
	if spec, err := reference.Parse(pullSpec); err == nil && pullSpec != "" {
		e.known[repositoryKey(spec)] = struct{}{}
	}
}

// repositoryKey is equal for the spellings of one repository that differ only in defaults.
func repositoryKey(spec reference.PullSpec) string {
	return spec.WithDefaults().AsRepository().String()
}
