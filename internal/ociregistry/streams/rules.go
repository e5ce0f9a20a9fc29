package streams

import (
	"slices"

	imagev1 "github.com/openshift/api/image/v1"
	authorizationv1 "k8s.io/api/authorization/v1"

	"weir.dev/weir/internal/imageapi"
)

// sight is the set of streams of a namespace that a user may see.
type sight struct {
	// all is true for a user who may list them, or pull from each.
	all bool
	// names are those that the user may pull from by a rule that names them.
	names []string
	// unsure is true if the rules do not say everything: an authorizer in a cluster may have none.
	unsure bool
}

// maxSightNames bounds the names that are taken from the rules of a namespace. With more of them
// each stream is reviewed.
const maxSightNames = 4096

// sightBy reads the rules of a user in a namespace.
func sightBy(rules authorizationv1.SubjectRulesReviewStatus) sight {
	s := sight{unsure: rules.Incomplete || rules.EvaluationError != ""}
	for _, rule := range rules.ResourceRules {
		if !matches(rule.APIGroups, imagev1.GroupName) {
			continue
		}
		lists := matches(rule.Verbs, "list") && matches(rule.Resources, imageapi.ImageStreams)
		pulls := matches(rule.Verbs, "get") && matches(rule.Resources, imageapi.ImageStreams+"/"+imageapi.SubresourceLayers, "*/"+imageapi.SubresourceLayers)
		switch {
		case len(rule.ResourceNames) == 0 && (lists || pulls):
			return sight{all: true}
		case pulls && len(s.names)+len(rule.ResourceNames) > maxSightNames:
			s.unsure = true
		case pulls:
			s.names = append(s.names, rule.ResourceNames...)
		}
	}
	slices.Sort(s.names)
	return s
}

// matches reports whether a rule's list has one of some values, or all of them.
func matches(list []string, values ...string) bool {
	return slices.ContainsFunc(list, func(v string) bool { return v == "*" || slices.Contains(values, v) })
}

// of reports whether a stream is seen, as far as the rules say it.
func (s sight) of(name string) bool {
	_, named := slices.BinarySearch(s.names, name)
	return s.all || named
}

// nothing reports whether no stream is seen.
func (s sight) nothing() bool { return !s.all && !s.unsure && len(s.names) == 0 }
