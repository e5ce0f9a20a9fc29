package registryclients_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// commandTimeout bounds one command of a client, on a busy machine.
const commandTimeout = 3 * time.Minute

// home is the home folder of somebody at some machine: logins, caches and images of
// clients that know nothing of who runs the tests.
type home struct {
	t   testing.TB
	dir string
	env []string
}

// newHome is an empty home folder: nobody has logged in from there.
func newHome(t testing.TB) *home {
	t.Helper()
	// podman wants its folders' paths short, and so do the sockets of gpg's agent.
	dir, err := os.MkdirTemp("", "home") //nolint:usetesting // those of t.TempDir are too long
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	h := &home{t: t, dir: dir}
	set := map[string]string{
		"HOME":                 h.dir,
		"XDG_RUNTIME_DIR":      h.mkdir("run"),
		"XDG_CONFIG_HOME":      h.mkdir(".config"),
		"XDG_DATA_HOME":        h.mkdir("data"),
		"XDG_CACHE_HOME":       h.mkdir("cache"),
		"TMPDIR":               h.mkdir("tmp"),
		"GNUPGHOME":            h.mkdir("gnupg"),
		"DOCKER_CONFIG":        h.mkdir(".docker"),
		"REGISTRY_AUTH_FILE":   h.write("auth.json", "{}"),
		"COSIGN_PASSWORD":      "",
		"COSIGN_YES":           "true",
		"SIGSTORE_NO_CACHE":    "true",
		"TUF_ROOT":             h.mkdir("tuf"),
		"BUILDAH_ISOLATION":    "chroot",
		"CONTAINERS_CONF":      h.write("containers.conf", "[engine]\ncgroup_manager = \"cgroupfs\"\nevents_logger = \"none\"\n"),
		"HELM_REGISTRY_CONFIG": filepath.Join(h.dir, "helm-registry.json"),
	}
	for _, kv := range os.Environ() {
		if name, _, _ := strings.Cut(kv, "="); set[name] == "" && !foreign(name) {
			h.env = append(h.env, kv)
		}
	}
	for name, value := range set {
		h.env = append(h.env, name+"="+value)
	}
	return h
}

// foreign are variables by which whoever runs the tests would speak to the clients.
func foreign(name string) bool {
	return slices.ContainsFunc([]string{"HELM_", "COSIGN_", "SIGSTORE_", "BUILDAH_", "CONTAINER", "REGISTRY_", "STORAGE_", "KUBECONFIG", "HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"},
		func(prefix string) bool { return strings.HasPrefix(name, prefix) })
}

// with is the same home with one more variable.
func (h *home) with(name, value string) *home {
	c := *h
	c.env = append(slices.Clone(h.env), name+"="+value)
	return &c
}

func (h *home) path(name string) string { return filepath.Join(h.dir, name) }

func (h *home) mkdir(name string) string {
	h.t.Helper()
	path := h.path(name)
	if err := os.MkdirAll(path, 0o700); err != nil {
		h.t.Fatal(err)
	}
	return path
}

// write makes a file in the home folder and returns its path.
func (h *home) write(name, content string) string {
	h.t.Helper()
	h.mkdir(filepath.Dir(name))
	path := h.path(name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		h.t.Fatal(err)
	}
	return path
}

func (h *home) read(name string) string {
	h.t.Helper()
	content, err := os.ReadFile(h.path(name))
	if err != nil {
		h.t.Fatal(err)
	}
	return string(content)
}

// run runs a client to its end and returns what it printed, without the last line's
// end; a command that fails fails the test.
func (h *home) run(name string, args ...string) string {
	h.t.Helper()
	return h.feed("", name, args...)
}

// feed is run with something on standard input.
func (h *home) feed(input, name string, args ...string) string {
	h.t.Helper()
	stdout, stderr, err := h.try(input, name, args...)
	if err != nil {
		h.t.Fatalf("%s %s: %v\n%s%s", name, strings.Join(args, " "), err, stdout, stderr)
	}
	return strings.TrimSuffix(stdout, "\n")
}

// refused runs a command that has to fail, for a reason that names one of the words
// (in small letters), and returns what it said.
func (h *home) refused(words []string, name string, args ...string) string {
	h.t.Helper()
	stdout, stderr, err := h.try("", name, args...)
	if err == nil {
		h.t.Fatalf("%s %s succeeded:\n%s%s", name, strings.Join(args, " "), stdout, stderr)
	}
	said := strings.ToLower(stdout + stderr)
	if !slices.ContainsFunc(words, func(word string) bool { return strings.Contains(said, word) }) {
		h.t.Fatalf("%s %s failed for another reason than %q:\n%s", name, strings.Join(args, " "), words, said)
	}
	return said
}

// try runs a command to its end, with input on standard input.
func (h *home) try(input, name string, args ...string) (stdout, stderr string, err error) {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(h.t.Context(), commandTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, tool(h.t, name), append(h.standing(name), args...)...)
	var out, said bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(input), &out, &said
	cmd.Env, cmd.Dir = h.env, h.dir
	cmd.WaitDelay = time.Second
	if err = cmd.Run(); ctx.Err() != nil {
		err = fmt.Errorf("%w after %s: %w", err, commandTimeout, ctx.Err())
	}
	return out.String(), said.String(), err
}

// standing are the arguments that come before those of each command: images of podman
// and buildah are kept in the home folder, in the one form that needs no rights to
// mount anything.
func (h *home) standing(name string) []string {
	switch name {
	case "podman":
		return []string{"--storage-driver", "vfs", "--root", h.path("images"), "--runroot", h.path("run/i"), "--tmpdir", h.path("run/p")}
	case "buildah":
		return []string{"--storage-driver", "vfs", "--root", h.path("images"), "--runroot", h.path("run/i")}
	default:
		return nil
	}
}

// refusedLogin runs a command that logs in with a token that is none.
func (h *home) refusedLogin(name string, args ...string) {
	h.t.Helper()
	if stdout, stderr, err := h.try("not-a-token", name, args...); err == nil {
		h.t.Errorf("%s %s logged in with a forged token:\n%s%s", name, strings.Join(args, " "), stdout, stderr)
	}
}

// eventually is run for a command that may be refused until a right that was just
// granted is known everywhere.
func (h *home) eventually(name string, args ...string) string {
	h.t.Helper()
	var printed string
	eventually(h.t, name+" to be let in", func() error {
		stdout, _, err := h.try("", name, args...)
		printed = stdout
		return err
	})
	return strings.TrimSuffix(printed, "\n")
}

// stopAgent ends the agent that gpg started for this home.
func (h *home) stopAgent() {
	cmd := exec.Command(filepath.Join(filepath.Dir(tool(h.t, "gpg")), "gpgconf"), "--kill", "gpg-agent")
	cmd.Env = h.env
	if said, err := cmd.CombinedOutput(); err != nil {
		h.t.Errorf("stopping gpg's agent: %v: %s", err, said)
	}
}
