package table

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	imagev1 "github.com/openshift/api/image/v1"

	"weir.dev/weir/internal/imageapi"
	"weir.dev/weir/internal/reference"
)

// repository returns the repository of the stream for users, preferably the public one. In the
// integrated registry it has the path of the push, which is shorter than the stream's name and
// equivalent.
func repository(s *imagev1.ImageStream) string {
	return cmp.Or(spelled(s, s.Status.PublicDockerImageRepository), s.Spec.DockerImageRepository, spelled(s, s.Status.DockerImageRepository))
}

func spelled(s *imagev1.ImageStream, repository string) string {
	as := reference.RepositoryOf(s.Namespace, s.Name, s.Annotations[imageapi.AnnotationRepository])
	if host, found := strings.CutSuffix(repository, "/"+as.Key()); found {
		return host + "/" + as.String()
	}
	return repository
}

// headTime returns when a tag got the image it points to; zero if it points to none.
func headTime(t *imagev1.NamedTagEventList) time.Time {
	if len(t.Items) == 0 {
		return time.Time{}
	}
	return t.Items[0].Created.Time
}

func newestHead(tags []imagev1.NamedTagEventList) time.Time {
	var newest time.Time
	for i := range tags {
		if head := headTime(&tags[i]); head.After(newest) {
			newest = head
		}
	}
	return newest
}

// Widths of the tags column. A tag may exceed it by slack columns if it starts more than slack
// columns before the end, because omitting it would waste more space than it saves.
const (
	tagsWidth = 40
	slack     = 10
)

// tagSummary lists the tags that fit into the column, newest first, and counts the rest. It always
// includes the first tag.
func tagSummary(tags []imagev1.NamedTagEventList) string {
	names := newestFirst(tags)
	left := tagsWidth
	for i, name := range names {
		before := left
		left -= len(name) + 1
		if i == 0 || left >= 0 || (before > slack && -left <= slack) {
			continue
		}
		return strings.Join(names[:i], ",") + fmt.Sprintf(" + %d more...", len(names)-i)
	}
	return strings.Join(names, ",")
}

// newestFirst sorts by head; clients see seconds, so equal seconds sort by name.
func newestFirst(tags []imagev1.NamedTagEventList) []string {
	type dated struct {
		name string
		at   time.Time
	}
	sorted := make([]dated, len(tags))
	for i := range tags {
		sorted[i] = dated{tags[i].Tag, headTime(&tags[i]).Round(time.Second)}
	}
	slices.SortFunc(sorted, func(a, b dated) int {
		return cmp.Or(b.at.Compare(a.at), strings.Compare(a.name, b.name))
	})
	names := make([]string, len(sorted))
	for i := range sorted {
		names[i] = sorted[i].name
	}
	return names
}
