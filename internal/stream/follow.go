package stream

import (
	imagev1 "github.com/openshift/api/image/v1"
)

// changedHeads are the tags whose head in s points to something else than in old,
// sorted. Tags that lost their history are not among them. A nil old had no tags.
func changedHeads(s, old *imagev1.ImageStream) []string {
	var changed []string
	for i := range s.Status.Tags {
		tag := &s.Status.Tags[i]
		now := head(tag)
		if now != nil && headMoved(LatestEvent(old, tag.Tag), now) {
			changed = append(changed, tag.Tag)
		}
	}
	return changed
}

// follow copies the heads of the changed tags to the tags that track them: spec
// tags of the same stream whose from is an ImageStreamTag of this stream. Tags that
// track those follow in turn. It reports whether anything changed.
//
// Each tag tracks at most one other, so what a changed tag reaches is a tree, or
// leads into one ring. A changed tag that itself tracks another changed one is
// reached from there; in a ring of changed tags the first by name leads. Every tag
// is written at most once, so the outcome does not depend on an order and rings end.
func follow(s *imagev1.ImageStream, changed []string) bool {
	tracked := trackedTags(s)
	if len(tracked) == 0 || len(changed) == 0 {
		return false
	}
	trackers := map[string][]string{} // sorted, because spec.tags are
	for i := range s.Spec.Tags {
		name := s.Spec.Tags[i].Name
		if source, found := tracked[name]; found {
			trackers[source] = append(trackers[source], name)
		}
	}
	wrote := false
	visited := map[string]bool{}
	for _, root := range leaders(tracked, changed) {
		if visited[root] {
			continue
		}
		visited[root] = true
		event := LatestEvent(s, root)
		if event == nil {
			continue
		}
		next := *event // AddEvent moves status.tags about
		for queue := []string{root}; len(queue) > 0; queue = queue[1:] {
			for _, tracker := range trackers[queue[0]] {
				if visited[tracker] {
					continue
				}
				visited[tracker] = true
				wrote = AddEvent(s, tracker, next) || wrote
				queue = append(queue, tracker)
			}
		}
	}
	return wrote
}

// trackedTags has, for each spec tag that tracks another tag of this stream, the
// name of that other tag. A tag that names itself tracks nothing.
func trackedTags(s *imagev1.ImageStream) map[string]string {
	var tracked map[string]string
	for i := range s.Spec.Tags {
		tag := &s.Spec.Tags[i]
		if tag.From == nil || tag.From.Kind != KindImageStreamTag {
			continue
		}
		source, ok := sourceOf(s, tag.From)
		if !ok || !source.isIn(s) || source.Tag == tag.Name {
			continue
		}
		if tracked == nil {
			tracked = map[string]string{}
		}
		tracked[tag.Name] = source.Tag
	}
	return tracked
}

// leaders are the changed tags from which all other changed ones that track are
// reached: those whose sources did not change, then those in a ring of changed tags.
func leaders(tracked map[string]string, changed []string) []string {
	isChanged := make(map[string]bool, len(changed))
	for _, name := range changed {
		isChanged[name] = true
	}
	var leading, ringed []string
	for _, name := range changed {
		follows, inRing := walkSources(tracked, isChanged, name)
		switch {
		case !follows:
			leading = append(leading, name)
		case inRing:
			ringed = append(ringed, name)
		}
	}
	return append(leading, ringed...)
}

// walkSources follows the chain of sources of a tag: whether it holds another
// changed tag, and whether it comes back to the tag itself.
func walkSources(tracked map[string]string, changed map[string]bool, tag string) (follows, inRing bool) {
	// A chain longer than the number of tracking tags has entered some ring.
	source, found := tracked[tag]
	for steps := 0; found && steps < len(tracked); steps++ {
		if source == tag {
			return follows, true
		}
		follows = follows || changed[source]
		source, found = tracked[source]
	}
	return follows, false
}
