package reference

import (
	"fmt"
	"strings"
)

// Repository is the name of a repository of the integrated registry: a namespace and
// what stands below it, which is one stream.
type Repository struct {
	Namespace string
	// Path is the name below the namespace, as clients write it: one component or more.
	Path string
	// Stream is the name of the image stream of that path.
	Stream string
}

// String is namespace/path.
func (r Repository) String() string { return r.Namespace + "/" + r.Path }

// Key is namespace/stream, the same for all spellings of a repository.
func (r Repository) Key() string { return r.Namespace + "/" + r.Stream }

// RepositoryOf is the repository of a stream with a path as it was once spelled, if that leads to the
// stream; else the path is the stream's name.
func RepositoryOf(namespace, stream, spelled string) Repository {
	if spelled != "" {
		if r, err := ParseRepository(namespace + "/" + spelled); err == nil && r.Stream == stream {
			return r
		}
	}
	return Repository{Namespace: namespace, Path: stream, Stream: stream}
}

// NoRepositoryError says that a name is well formed, and that no repository can ever have
// it: asking for it is asking for what is not there, not a mistake in the request.
type NoRepositoryError struct {
	Name   string
	Reason string
}

func (e *NoRepositoryError) Error() string {
	return fmt.Sprintf("there can be no repository %q: %s", e.Name, e.Reason)
}

// maxNamespaceLength is that of a DNS label.
const maxNamespaceLength = 63

// ParseRepository reads the name of a repository as the OCI distribution specification
// has it, with two components or more: the namespace, and the path that StreamName makes
// a stream of.
//
// The error is a *SyntaxError for what is no such name, and a *NoRepositoryError for a
// name that the specification allows and that nothing can have here: its first component
// is no name of a namespace, or its stream's name would be too long. The repository is
// filled in with the latter too.
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

// StreamRepository is the repository of a stream, spelled as RepositoryPath spells it
// where that name is short enough for a repository, as the stream's own name otherwise.
func StreamRepository(namespace, stream string) Repository {
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
