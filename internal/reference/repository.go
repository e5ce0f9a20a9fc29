package reference

import (
	"fmt"
	"strings"
)

// Repository is the name of a repository of the integrated registry: a namespace and
// a path, which maps to one stream.
type Repository struct {
	Namespace string
	// Path is the name below the namespace, as clients write it: one component or more.
	Path string
	// Stream is the name of the image stream of that path.
	Stream string
}

// String returns namespace/path.
func (r Repository) String() string { return r.Namespace + "/" + r.Path }

// Key returns namespace/stream, which is equal for all spellings of a repository.
func (r Repository) Key() string { return r.Namespace + "/" + r.Stream }

// RepositoryOf returns the repository of a stream with a recorded path, if that maps to the stream;
// otherwise the path is the stream's name.
func RepositoryOf(namespace, stream, spelled string) Repository {
	if spelled != "" {
		if r, err := ParseRepository(namespace + "/" + spelled); err == nil && r.Stream == stream {
			return r
		}
	}
	return Repository{Namespace: namespace, Path: stream, Stream: stream}
}

// NoRepositoryError means that a name is well formed but no repository can have it. A request
// with such a name is not malformed; its repository does not exist.
type NoRepositoryError struct {
	Name   string
	Reason string
}

func (e *NoRepositoryError) Error() string {
	return fmt.Sprintf("there can be no repository %q: %s", e.Name, e.Reason)
}

// maxNamespaceLength is that of a DNS label.
const maxNamespaceLength = 63

// ParseRepository parses the name of a repository by the grammar of the OCI distribution
// specification, with two components or more: the namespace, and the path, which StreamName
// maps to a stream.
//
// The error is a *SyntaxError for an invalid name, and a *NoRepositoryError for a name that
// the specification permits and no repository can have: its first component is not a valid
// namespace, or its stream's name would be too long. With the latter the repository is
// set, too.
func ParseRepository(name string) (Repository, error) {
	fail := func(reason string) (Repository, error) {
		return Repository{}, &SyntaxError{Form: "repository name", Text: name, Reason: reason}
	}
	if len(name) > maxNameLength {
		return fail("it is longer than 255 characters")
	}
	for component := range strings.SplitSeq(name, "/") {
		if !validComponent(component) {
			return fail("each path component must be lower-case letters and digits, separated by one dot, one or two underscores, or dashes")
		}
	}
	namespace, path, found := strings.Cut(name, "/")
	if !found {
		return fail("it must be NAMESPACE/NAME")
	}
	r := Repository{Namespace: namespace, Path: path, Stream: StreamName(path)}
	switch {
	case !validNamespace(namespace):
		return r, &NoRepositoryError{Name: name, Reason: "a namespace has at most 63 lower-case letters, digits and dashes"}
	case len(r.Key()) > maxNameLength:
		return r, &NoRepositoryError{Name: name, Reason: "the name of its image stream, " + r.Key() + ", is longer than 255 characters"}
	}
	return r, nil
}

// streamRepository returns the repository of a stream, with the path of RepositoryPath if
// that is short enough for a repository, otherwise with the stream's name.
func streamRepository(namespace, stream string) Repository {
	r := Repository{Namespace: namespace, Path: RepositoryPath(stream), Stream: stream}
	if len(namespace)+1+len(r.Path) > maxNameLength {
		r.Path = stream
	}
	return r
}

// validNamespace reports whether a valid component is also the name of a namespace.
func validNamespace(component string) bool {
	return len(component) <= maxNamespaceLength && !strings.ContainsAny(component, "._")
}
