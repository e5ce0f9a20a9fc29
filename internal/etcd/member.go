package etcd

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
)

const (
	// socketPointer is the file with the path of a socket that is not in the member's folder.
	socketPointer = "etcd.sock.path"
	// socketDirPrefix begins the name of the folder that is made for such a socket.
	socketDirPrefix = "weir-etcd-"
)

// peerHost is a formality: nothing is served there.
const peerHost = "localhost:2380"

// MemberInfo are the names that a restored member shares with the one that Start starts.
type MemberInfo struct {
	// Name, PeerURL and Token are those of etcd's flags.
	Name, PeerURL, Token string
	// Dir is etcd's data folder.
	Dir string
}

// Member is the member in a folder (Options.Dir).
func Member(dir string) MemberInfo {
	return MemberInfo{Name: "weir", PeerURL: "http://" + peerHost, Token: "etcd-cluster", Dir: filepath.Join(dir, "member")}
}

// Socket returns the endpoint of the member that runs over a folder (Options.Dir). The error
// says that there is none.
func Socket(dir string) (endpoint string, err error) {
	socket, err := filepath.Abs(filepath.Join(dir, socketName))
	if err != nil {
		return "", fmt.Errorf("finding etcd's socket: %w", err)
	}
	if elsewhere, err := readPointer(dir); err != nil {
		return "", err
	} else if elsewhere != "" {
		socket = elsewhere
	}
	connection, err := net.Dial("unix", socket)
	if err != nil {
		return "", fmt.Errorf("no etcd runs in %s: %w", dir, err)
	}
	return "unix://" + socket, connection.Close()
}

// readPointer returns the path of a socket outside the member's folder, "" without one.
func readPointer(dir string) (string, error) {
	socket, err := os.ReadFile(filepath.Join(dir, socketPointer))
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("finding etcd's socket: %w", err)
	}
	return string(socket), nil
}

// removeFormerSocketDir removes the folder that a killed process made for its socket.
func removeFormerSocketDir(dir string) error {
	socket, err := readPointer(dir)
	if err != nil || socket == "" {
		return err
	}
	if folder := filepath.Dir(socket); strings.HasPrefix(filepath.Base(folder), socketDirPrefix) {
		if err := os.RemoveAll(folder); err != nil {
			return fmt.Errorf("removing the socket of an earlier run: %w", err)
		}
	}
	if err := os.Remove(filepath.Join(dir, socketPointer)); err != nil {
		return fmt.Errorf("removing the path of an earlier socket: %w", err)
	}
	return nil
}
