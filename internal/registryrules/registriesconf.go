package registryrules

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/BurntSushi/toml"
	"go.podman.io/image/v5/pkg/sysregistriesv2"
	"go.podman.io/image/v5/types"

	"weir.dev/weir/internal/foreigntext"
)

// Conf is a containers registries.conf, read and checked. It is immutable.
type Conf struct {
	entries []confEntry
}

// readConf is held while the library reads a file: it keeps what it read in a
// cache of the process, which has to be empty for a changed file to be seen.
var readConf sync.Mutex

// ReadConf reads a registries.conf of version 2. Only this file is
// read: neither the host's defaults nor any registries.conf.d. Keys that are
// unknown, or of version 1, are errors: a mirror that is misspelt is none. Errors
// name the file.
//
// What concerns short names (unqualified-search-registries, aliases) and
// credential helpers has no meaning here and is ignored.
func ReadConf(path string) (*Conf, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("registries.conf %s: %w", path, err)
	}
	if err := checkKeys(abs); err != nil {
		return nil, fmt.Errorf("registries.conf %s: %w", path, err)
	}
	registries, err := readRegistries(abs)
	if err != nil {
		return nil, fmt.Errorf("registries.conf %s: %w", path, err)
	}
	conf := &Conf{}
	for _, reg := range registries {
		entry, err := newConfEntry(reg)
		if err != nil {
			return nil, fmt.Errorf("registries.conf %s: registry %q: %w", path, reg.Prefix, err)
		}
		conf.entries = append(conf.entries, entry)
	}
	return conf, nil
}

const (
	maxUnknownKeys = 10  // unknown keys that an error names
	maxKey         = 200 // bytes of a key that it shows
)

// checkKeys refuses keys that the library that reads the file would pass over.
func checkKeys(path string) error {
	meta, err := toml.DecodeFile(path, &sysregistriesv2.V2RegistriesConf{})
	if err != nil {
		return err
	}
	var unknown []string
	for _, key := range meta.Undecoded() {
		if key[0] == "registries" {
			return fmt.Errorf("the key %s is of version 1, which is not read: write [[registry]] tables as in version 2", foreigntext.Clean(key.String(), maxKey))
		}
		unknown = append(unknown, foreigntext.Clean(key.String(), maxKey))
	}
	if len(unknown) == 0 {
		return nil
	}
	more := ""
	if len(unknown) > maxUnknownKeys {
		unknown, more = unknown[:maxUnknownKeys], ", …"
	}
	return fmt.Errorf("unknown keys: %s%s", strings.Join(unknown, ", "), more)
}

func readRegistries(path string) ([]sysregistriesv2.Registry, error) {
	readConf.Lock()
	defer readConf.Unlock()
	sysregistriesv2.InvalidateCache()
	return sysregistriesv2.GetRegistries(&types.SystemContext{
		SystemRegistriesConfPath: path,
		// Naming a folder of drop-ins keeps the library from looking into the
		// host's; this one is not a folder and so holds none.
		SystemRegistriesConfDirPath: os.DevNull,
	})
}

func newConfEntry(reg sysregistriesv2.Registry) (confEntry, error) {
	prefix, err := cleanScope(reg.Prefix, true)
	if err != nil {
		return confEntry{}, fmt.Errorf("prefix: %w", err)
	}
	entry := confEntry{prefix: prefix, insecure: reg.Insecure, blocked: reg.Blocked}
	// A wildcard registry without location, or with its own wildcard as
	// location, is fetched from where the pull spec points.
	if reg.Location != "" && !strings.HasPrefix(reg.Location, "*.") {
		if entry.location, err = cleanScope(reg.Location, false); err != nil {
			return confEntry{}, fmt.Errorf("location: %w", err)
		}
	}
	for _, m := range reg.Mirrors {
		location, err := cleanScope(m.Location, false)
		if err != nil {
			return confEntry{}, fmt.Errorf("mirror location: %w", err)
		}
		digestOnly := reg.MirrorByDigestOnly || m.PullFromMirror == sysregistriesv2.MirrorByDigestOnly
		tagOnly := m.PullFromMirror == sysregistriesv2.MirrorByTagOnly
		entry.mirrors = append(entry.mirrors, confMirror{
			location: location, insecure: m.Insecure, tags: !digestOnly, byID: !tagOnly,
		})
	}
	return entry, nil
}
