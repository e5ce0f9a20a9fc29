package tagview

import (
	"context"
	"errors"

	imagev1 "github.com/openshift/api/image/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metainternalversion "k8s.io/apimachinery/pkg/apis/meta/internalversion"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"weir.dev/weir/internal/reference"
)

// A limit counts tags, and how many of them a stream has is not known before it is
// read. Streams are read in chunks, the first no larger than the limit, each twice
// as large as the one before.
const (
	firstChunk = 64
	maxChunk   = 512
)

// Tag is one tag of a stream that the holder must not change.
type Tag struct {
	Stream *imagev1.ImageStream
	Name   string
}

// ListStreams lists image streams, as Registry of package imagestream does.
type ListStreams func(ctx context.Context, options *metainternalversion.ListOptions) (*imagev1.ImageStreamList, error)

// List returns tags of the streams in the namespace of ctx, by stream in the order
// of the store and by tag name. names returns the tags of a stream to list, in
// their order. Labels select by those of the stream, fields by namespace and by the
// name "stream:tag". All pages of a list are of one state of the streams.
func List(ctx context.Context, streams ListStreams, names func(*imagev1.ImageStream) []string, options *metainternalversion.ListOptions) ([]Tag, metav1.ListMeta, error) {
	p, err := newPage(options)
	if err != nil {
		return nil, metav1.ListMeta{}, err
	}
	for chunk := min(p.limit, firstChunk); ; chunk = min(2*chunk, maxChunk) {
		list, err := streams(ctx, p.streams(options, chunk))
		if err != nil {
			return nil, metav1.ListMeta{}, p.ours(err)
		}
		if next := p.take(list, names); next != nil {
			return p.tags, metav1.ListMeta{ResourceVersion: list.ResourceVersion, Continue: next.token()}, nil
		}
		if list.Continue == "" {
			return p.tags, metav1.ListMeta{ResourceVersion: list.ResourceVersion}, nil
		}
		// The stream that was not listed to its end may be still to come: the chunk it
		// was in need not have been as small as this one.
		p.at = position{Continue: list.Continue, Stream: p.at.Stream, Tag: p.at.Tag}
	}
}

// page is a page in the making.
type page struct {
	selector
	limit int64 // 0 is none
	at    position
	tags  []Tag
}

func newPage(options *metainternalversion.ListOptions) (*page, error) {
	p := &page{selector: newSelector(options.FieldSelector), limit: max(options.Limit, 0)}
	if options.Continue == "" {
		return p, nil
	}
	if options.ResourceVersion != "" && options.ResourceVersion != "0" {
		return nil, apierrors.NewBadRequest("specifying resource version is not allowed when using continue")
	}
	var err error
	if p.at, err = parsePosition(options.Continue); err != nil {
		return nil, apierrors.NewBadRequest(err.Error())
	}
	return p, nil
}

// streams are the options for the streams that come next.
func (p *page) streams(asked *metainternalversion.ListOptions, limit int64) *metainternalversion.ListOptions {
	o := &metainternalversion.ListOptions{LabelSelector: asked.LabelSelector, FieldSelector: p.selector.streams, Limit: limit}
	switch {
	case p.at.Continue != "":
		o.Continue = p.at.Continue
	case p.at.ResourceVersion != "":
		o.ResourceVersion, o.ResourceVersionMatch = p.at.ResourceVersion, metav1.ResourceVersionMatchExact
	default:
		o.ResourceVersion, o.ResourceVersionMatch = asked.ResourceVersion, asked.ResourceVersionMatch
	}
	return o
}

// take adds the tags of a chunk of streams. It returns where the next page begins
// when this one is full and there is more, in the chunk or behind it.
func (p *page) take(list *imagev1.ImageStreamList, names func(*imagev1.ImageStream) []string) *position {
	start := p.at
	end := position{Continue: start.Continue}
	if end.Continue == "" {
		end.ResourceVersion = list.ResourceVersion
	}
	for i := range list.Items {
		s := &list.Items[i]
		key := s.Namespace + "/" + s.Name
		for _, tag := range names(s) {
			if start.passed(key, tag) || (len(p.names) > 0 && !p.matches(reference.JoinStreamTag(s.Name, tag))) {
				continue
			}
			if p.full() {
				return &end
			}
			p.tags = append(p.tags, Tag{Stream: s, Name: tag})
			end.Stream, end.Tag = key, tag
		}
	}
	if p.full() && list.Continue != "" {
		return &position{Continue: list.Continue}
	}
	return nil
}

func (p *page) full() bool { return p.limit > 0 && int64(len(p.tags)) >= p.limit }

// ours is an error of the store as clients of this list can use it: the token that
// comes with an expired one is made ours.
func (p *page) ours(err error) error {
	var status *apierrors.StatusError
	if !errors.As(err, &status) || status.ErrStatus.Continue == "" {
		return err
	}
	wrapped := *status
	wrapped.ErrStatus.Continue = position{Continue: status.ErrStatus.Continue, Stream: p.at.Stream, Tag: p.at.Tag}.token()
	return &wrapped
}
