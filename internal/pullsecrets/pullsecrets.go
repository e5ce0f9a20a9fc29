package pullsecrets

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"weir.dev/weir/internal/reference"
)

// maxMatches is how many credentials a look-up returns: every one of them may
// be tried at a registry, which takes repeated refusals for an attack.
const maxMatches = 10

// maxNodeFile is the largest credential file of a node, in bytes.
const maxNodeFile = 4 << 20

// entry is a credential and the pattern of what it is for.
type entry struct {
	pattern pattern
	cred    Credential
}

// keyring is a Credentials made of entries in the order of trial.
type keyring struct {
	secrets, node []entry
}

// NodeCredentials are the credentials of the machine this runs on, used where
// no pull secret matches or all that match are refused.
type NodeCredentials struct {
	entries []entry
}

// New makes Credentials of pull secrets and, behind them, of the
// node's own (nil for none). Secrets of types other than
// kubernetes.io/dockercfg and kubernetes.io/dockerconfigjson are passed over;
// what is malformed in one is left out with a Warning and takes nothing else
// with it. Warnings say which secret and what is wrong, never its content.
func New(secrets []corev1.Secret, node *NodeCredentials) (Credentials, []Warning) {
	ring := &keyring{}
	var warnings []Warning
	for i := range secrets {
		secret := &secrets[i]
		origin := "secret " + secret.Namespace + "/" + secret.Name
		entries, texts := parseSecret(secret)
		for _, text := range texts {
			warnings = append(warnings, Warning{Origin: origin, Text: text})
		}
		for _, e := range entries {
			e.cred.Origin = origin
			ring.secrets = append(ring.secrets, e)
		}
	}
	sortEntries(ring.secrets)
	if node != nil {
		ring.node = node.entries
	}
	return ring, warnings
}

// ReadNode reads a config.json as docker and the kubelet write it.
// A file that does not exist holds none. Malformed entries are left out with a
// Warning; the error is that of a file which cannot be read or is no JSON object.
func ReadNode(path string) (*NodeCredentials, []Warning, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return &NodeCredentials{}, nil, nil
	}
	if err != nil {
		return nil, nil, fmt.Errorf("reading node credentials: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxNodeFile+1))
	if err != nil {
		return nil, nil, fmt.Errorf("reading node credentials: %w", err)
	}
	if len(data) > maxNodeFile {
		return nil, nil, fmt.Errorf("reading node credentials %s: larger than %d bytes", path, maxNodeFile)
	}
	entries, texts, err := parseConfigJSON(data)
	if err != nil {
		return nil, nil, fmt.Errorf("reading node credentials %s: %w", path, err)
	}
	origin := "node file " + path
	var warnings []Warning
	for _, text := range texts {
		warnings = append(warnings, Warning{Origin: origin, Text: text})
	}
	for i := range entries {
		entries[i].cred.Origin, entries[i].cred.Node = origin, true
	}
	sortEntries(entries)
	return &NodeCredentials{entries: entries}, warnings, nil
}

// Lookup implements Credentials.
func (k *keyring) Lookup(host, path string) []Credential {
	found := matching(k.secrets, host, path)
	found = Distinct(append(found, matching(k.node, host, path)...))
	return found[:min(len(found), maxMatches)]
}

// matching are the credentials for a repository. Of Docker Hub, those under
// the name of the pull spec come before those under its other names.
func matching(entries []entry, host, path string) []Credential {
	var found []Credential
	for _, alias := range hubAliases(host) {
		for _, e := range entries {
			if e.pattern.matches(alias, path) {
				found = append(found, e.cred)
			}
		}
	}
	return found
}

func hubAliases(host string) []string {
	if reference.CanonicalHost(host) != reference.DefaultRegistry {
		return []string{host}
	}
	return reference.HubHosts()
}

// sortEntries puts the more specific patterns first: of two that begin alike
// the longer one. Equal ones keep their order.
func sortEntries(entries []entry) {
	slices.SortStableFunc(entries, func(a, b entry) int { return strings.Compare(b.pattern.key, a.pattern.key) })
}

// parseSecret reads a secret; texts say what was left out.
func parseSecret(secret *corev1.Secret) (entries []entry, texts []string) {
	var field string
	parse := parseConfigJSON
	switch secret.Type {
	case corev1.SecretTypeDockerConfigJson:
		field = corev1.DockerConfigJsonKey
	case corev1.SecretTypeDockercfg:
		field, parse = corev1.DockerConfigKey, parseDockercfg
	default:
		return nil, nil
	}
	data, ok := secret.Data[field]
	if !ok {
		return nil, []string{"it has no " + field + ": skipped"}
	}
	entries, texts, err := parse(data)
	if err != nil {
		return nil, []string{field + " " + err.Error() + ": skipped"}
	}
	return entries, texts
}

// errNotObject hides the decoder's text, which quotes what it read.
var errNotObject = errors.New("is not a JSON object of the expected form")

// parseConfigJSON reads the form {"auths": {registry: entry}}.
func parseConfigJSON(data []byte) ([]entry, []string, error) {
	var config struct {
		Auths map[string]json.RawMessage `json:"auths"`
	}
	if err := json.Unmarshal(data, &config); err != nil {
		return nil, nil, errNotObject
	}
	entries, texts := parseEntries(config.Auths)
	return entries, texts, nil
}

// parseDockercfg reads the older form {registry: entry}.
func parseDockercfg(data []byte) ([]entry, []string, error) {
	var config map[string]json.RawMessage
	if err := json.Unmarshal(data, &config); err != nil {
		return nil, nil, errNotObject
	}
	entries, texts := parseEntries(config)
	return entries, texts, nil
}

func parseEntries(auths map[string]json.RawMessage) (entries []entry, texts []string) {
	names := make([]string, 0, len(auths))
	for name := range auths {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		p, err := parsePattern(name)
		if err != nil {
			// The name is not repeated: people put credentials into URLs.
			texts = append(texts, "an entry's registry name "+err.Error()+": entry skipped")
			continue
		}
		cred, err := parseAuth(auths[name])
		if err != nil {
			texts = append(texts, "entry "+p.key+": "+err.Error()+": entry skipped")
			continue
		}
		// Without content an entry only says that a helper has the credential.
		if !cred.Anonymous() {
			entries = append(entries, entry{pattern: p, cred: cred})
		}
	}
	return entries, texts
}

// parseAuth reads one entry. Its "auth" wins over its user name and password.
func parseAuth(raw json.RawMessage) (Credential, error) {
	var auth struct {
		Auth          string `json:"auth"`
		Username      string `json:"username"`
		Password      string `json:"password"`
		IdentityToken string `json:"identitytoken"`
		RegistryToken string `json:"registrytoken"`
	}
	if err := json.Unmarshal(raw, &auth); err != nil {
		return Credential{}, errNotObject
	}
	cred := Credential{
		Username: auth.Username, Password: auth.Password,
		IdentityToken: auth.IdentityToken, RegistryToken: auth.RegistryToken,
	}
	if auth.Auth != "" {
		user, password, err := decodeAuth(auth.Auth)
		if err != nil {
			return Credential{}, err
		}
		cred.Username, cred.Password = user, password
	}
	return cred, nil
}

// decodeAuth decodes base64 of "user:password", padded or not.
func decodeAuth(auth string) (user, password string, err error) {
	auth = strings.TrimRight(strings.TrimSpace(auth), "=")
	decoded, err := base64.RawStdEncoding.DecodeString(auth)
	if err != nil {
		return "", "", errors.New("auth is not base64")
	}
	user, password, ok := strings.Cut(string(decoded), ":")
	if !ok {
		return "", "", errors.New("auth does not hold user:password")
	}
	return user, strings.TrimRight(password, "\x00"), nil
}
