package testenv

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Kubectl is the machine's kubectl, speaking to a Weir. It knows nothing of what its
// user has set up: home folder and kubeconfig are the test's own.
type Kubectl struct {
	path string
	env  []string
	args []string // come before those of each command
}

// Kubectl is kubectl as the admin. A machine without kubectl fails the test.
func (e *Env) Kubectl(t TB) Kubectl {
	t.Helper()
	path, err := exec.LookPath("kubectl")
	if err != nil {
		t.Fatalf("this test runs the real kubectl, which is not in PATH: %v (Debian has it in the package kubernetes-client)", err)
	}
	home := t.TempDir()
	env := append(os.Environ(), "HOME="+home, "KUBECONFIG="+e.Server.Kubeconfig(), "KUBECACHEDIR="+filepath.Join(home, "cache"))
	return Kubectl{path: path, env: env}
}

// With is the same kubectl with arguments added to each command: "-n", "--as" and the
// like.
func (k Kubectl) With(args ...string) Kubectl {
	k.args = append(append([]string{}, k.args...), args...)
	return k
}

// Cmd is a command that has not been started.
func (k Kubectl) Cmd(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, k.path, append(append([]string{}, k.args...), args...)...)
	cmd.Env = k.env
	return cmd
}

// Run runs a command to its end and returns what it printed; a command that fails
// fails the test.
func (k Kubectl) Run(t TB, args ...string) string {
	t.Helper()
	return k.Feed(t, "", args...)
}

// Feed is Run with something on standard input.
func (k Kubectl) Feed(t TB, input string, args ...string) string {
	t.Helper()
	stdout, stderr, err := k.Try(input, args...)
	if err != nil {
		t.Fatalf("kubectl %s: %v\n%s%s", strings.Join(args, " "), err, stdout, stderr)
	}
	return stdout
}

// Refused runs a command that is to fail and returns what it said about it.
func (k Kubectl) Refused(t TB, args ...string) string {
	t.Helper()
	stdout, stderr, err := k.Try("", args...)
	if err == nil {
		t.Fatalf("kubectl %s succeeded:\n%s", strings.Join(args, " "), stdout)
	}
	return stderr
}

// Try runs a command to its end, with input on standard input.
func (k Kubectl) Try(input string, args ...string) (stdout, stderr string, err error) {
	var out, said bytes.Buffer
	cmd := k.Cmd(context.Background(), args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(input), &out, &said
	if err = cmd.Run(); err != nil {
		err = fmt.Errorf("%w: %s", err, strings.TrimSpace(said.String()))
	}
	return out.String(), said.String(), err
}
