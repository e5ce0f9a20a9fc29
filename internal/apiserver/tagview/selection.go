package tagview

import (
	"strings"

	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/selection"

	"weir.dev/weir/internal/imageapi"
)

// selector is a field selector on tags, taken apart.
type selector struct {
	// streams selects the streams that have such tags: by their namespace, and by
	// name when the name of the tag is given.
	streams fields.Selector
	// names are the conditions on the name of the tag.
	names []fields.Requirement
}

// newSelector takes a field selector apart; nil selects everything.
func newSelector(tags fields.Selector) selector {
	if tags == nil {
		return selector{}
	}
	var s selector
	var streams []fields.Selector
	for _, r := range tags.Requirements() {
		if r.Field != imageapi.FieldName {
			streams = append(streams, term(r))
			continue
		}
		s.names = append(s.names, r)
		if r.Operator != selection.NotEquals {
			r.Value, _, _ = strings.Cut(r.Value, ":")
			streams = append(streams, term(r))
		}
	}
	if len(streams) > 0 {
		s.streams = fields.AndSelectors(streams...)
	}
	return s
}

func term(r fields.Requirement) fields.Selector {
	if r.Operator == selection.NotEquals {
		return fields.OneTermNotEqualSelector(r.Field, r.Value)
	}
	return fields.OneTermEqualSelector(r.Field, r.Value)
}

// matches reports whether a tag of this name, "stream:tag", is selected.
func (s selector) matches(name string) bool {
	for _, r := range s.names {
		if (r.Value == name) == (r.Operator == selection.NotEquals) {
			return false
		}
	}
	return true
}
