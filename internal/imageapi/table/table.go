// Package table prints objects of the group the way kubectl get and oc get show them: one
// rest.TableConvertor per resource that has a printed form.
//
// Resources without one (imagestreams/layers, imagestreams/secrets, imagestreamimports,
// imagestreammappings, imagesignatures) do not use this package: for a storage that does not
// implement rest.TableConvertor the server answers a request that accepts only a Table with 406,
// without calling the storage, and uses plain JSON if that is accepted too.
package table

import (
	"context"
	"fmt"
	"time"

	imagev1 "github.com/openshift/api/image/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/registry/rest"

	"weir.dev/weir/internal/imageapi"
)

// Option changes how a convertor prints.
type Option func(*options)

type options struct{ now func() time.Time }

// withClock sets the clock for ages; the default is time.Now.
func withClock(now func() time.Time) Option {
	return func(o *options) { o.now = now }
}

// printer prints objects of type T; cells follow columns.
type printer[T any] struct {
	columns []metav1.TableColumnDefinition
	cells   func(obj *T, now time.Time) []any
	options options
}

// object is satisfied by pointers to the types of the group.
type object[T any] interface {
	*T
	runtime.Object
}

type convertor[T any, P object[T]] struct{ printer[T] }

func newConvertor[T any, P object[T]](columns []metav1.TableColumnDefinition, cells func(*T, time.Time) []any, opts []Option) rest.TableConvertor {
	c := convertor[T, P]{printer[T]{columns: columns, cells: cells, options: options{now: time.Now}}}
	for _, set := range opts {
		set(&c.options)
	}
	return c
}

// ConvertToTable implements rest.TableConvertor for one object or a list of them.
func (c convertor[T, P]) ConvertToTable(_ context.Context, obj, tableOptions runtime.Object) (*metav1.Table, error) {
	table := &metav1.Table{}
	now := c.options.now()
	add := func(item runtime.Object) error {
		typed, ok := item.(P)
		if !ok {
			return fmt.Errorf("printing a table: got %T, want %T", item, P(nil))
		}
		table.Rows = append(table.Rows, metav1.TableRow{
			Cells:  c.cells((*T)(typed), now),
			Object: runtime.RawExtension{Object: imageapi.WithMetadata(item)},
		})
		return nil
	}
	if err := eachObject(obj, add); err != nil {
		return nil, err
	}
	setListMeta(table, obj)
	if o, ok := tableOptions.(*metav1.TableOptions); !ok || o == nil || !o.NoHeaders {
		table.ColumnDefinitions = c.columns
	}
	return table, nil
}

func eachObject(obj runtime.Object, do func(runtime.Object) error) error {
	if meta.IsListType(obj) {
		return meta.EachListItem(obj, do)
	}
	return do(obj)
}

// setListMeta copies the fields that clients page and watch by. A single object has only a
// resourceVersion.
func setListMeta(table *metav1.Table, obj runtime.Object) {
	if list, err := meta.ListAccessor(obj); err == nil {
		table.ResourceVersion = list.GetResourceVersion()
		table.Continue = list.GetContinue()
		table.RemainingItemCount = list.GetRemainingItemCount()
		return
	}
	if single, err := meta.CommonAccessor(obj); err == nil {
		table.ResourceVersion = single.GetResourceVersion()
	}
}

// The columns that several kinds share. Columns of priority 1 show only with -o wide.
var nameColumn = metav1.TableColumnDefinition{
	Name: "Name", Type: "string", Format: "name",
	Description: metav1.ObjectMeta{}.SwaggerDoc()["name"],
}

func textColumn(name, description string) metav1.TableColumnDefinition {
	return metav1.TableColumnDefinition{Name: name, Type: "string", Description: description}
}

func wide(column metav1.TableColumnDefinition) metav1.TableColumnDefinition {
	column.Priority = 1
	return column
}

// Images prints images.
func Images(opts ...Option) rest.TableConvertor {
	return newConvertor[imagev1.Image]([]metav1.TableColumnDefinition{
		nameColumn,
		textColumn("Image Reference", "The pull spec of the image."),
	}, func(img *imagev1.Image, _ time.Time) []any {
		return []any{img.Name, img.DockerImageReference}
	}, opts)
}

// ImageStreams prints imagestreams.
func ImageStreams(opts ...Option) rest.TableConvertor {
	return newConvertor[imagev1.ImageStream]([]metav1.TableColumnDefinition{
		nameColumn,
		textColumn("Image Repository", "Where the images of the stream can be pulled."),
		textColumn("Tags", "The tags that have a history, the newest first."),
		textColumn("Updated", "How long ago an image was last tagged."),
	}, func(s *imagev1.ImageStream, now time.Time) []any {
		return []any{s.Name, repository(s), tagSummary(s.Status.Tags), ago(newestHead(s.Status.Tags), now)}
	}, opts)
}

// ImageStreamTags prints imagestreamtags.
func ImageStreamTags(opts ...Option) rest.TableConvertor {
	return newConvertor[imagev1.ImageStreamTag]([]metav1.TableColumnDefinition{
		nameColumn,
		textColumn("Image Reference", "The pull spec of the image that the tag points to."),
		textColumn("Updated", "How long ago the image was tagged."),
		wide(textColumn("Image Name", "The name of the image that the tag points to.")),
	}, func(t *imagev1.ImageStreamTag, now time.Time) []any {
		return []any{t.Name, t.Image.DockerImageReference, ago(t.CreationTimestamp.Time, now), t.Image.Name}
	}, opts)
}

// ImageStreamImages prints imagestreamimages.
func ImageStreamImages(opts ...Option) rest.TableConvertor {
	return newConvertor[imagev1.ImageStreamImage]([]metav1.TableColumnDefinition{
		nameColumn,
		textColumn("Updated", "How long ago the image was created."),
		wide(textColumn("Image Reference", "The pull spec of the image.")),
		wide(textColumn("Image Name", "The name of the image.")),
	}, func(i *imagev1.ImageStreamImage, now time.Time) []any {
		return []any{i.Name, ago(i.CreationTimestamp.Time, now), i.Image.DockerImageReference, i.Image.Name}
	}, opts)
}

// ImageTags prints imagetags.
func ImageTags(opts ...Option) rest.TableConvertor {
	history := textColumn("History", "How many images the tag has pointed to.")
	history.Type = "number"
	return newConvertor[imagev1.ImageTag]([]metav1.TableColumnDefinition{
		nameColumn,
		textColumn("Spec", "How the tag gets its images."),
		textColumn("Status", "What the tag points to, or why it does not."),
		history,
		textColumn("Updated", "How long ago the tag changed."),
	}, func(t *imagev1.ImageTag, now time.Time) []any {
		return []any{t.Name, specWord(t), statusText(t), historyCount(t), ago(lastChange(t), now)}
	}, opts)
}
