package image

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	imagev1 "github.com/openshift/api/image/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"weir.dev/weir/internal/imageapi"
)

// shelf holds lists of parts by name and counts how often each name is asked for.
type shelf struct {
	images map[string][]string
	mu     sync.Mutex
	asked  map[string]int
}

func (s *shelf) get(_ context.Context, name string) (*imagev1.Image, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.asked == nil {
		s.asked = map[string]int{}
	}
	s.asked[name]++
	contents, found := s.images[name]
	if !found {
		return nil, apierrors.NewNotFound(imageapi.Resource(imageapi.Images), name)
	}
	img := &imagev1.Image{}
	img.Name = name
	for _, part := range contents {
		img.DockerImageManifests = append(img.DockerImageManifests, imagev1.ImageManifest{Digest: part})
	}
	return img, nil
}

// reader is get for any number of Images.
func (s *shelf) reader(context.Context, int) getImage { return s.get }

func TestReach(t *testing.T) {
	for name, test := range map[string]struct {
		images map[string][]string
		from   []string
		want   []string
	}{
		"nothing":               {nil, nil, nil},
		"plain images, in turn": {map[string][]string{"b": nil, "a": nil}, []string{"b", "a", "b"}, []string{"b", "a"}},
		"missing":               {map[string][]string{"a": nil}, []string{"gone", "a"}, []string{"gone?", "a"}},
		"parts after lists":     {map[string][]string{"l": {"m1", "m2"}, "m1": nil, "p": nil}, []string{"l", "p"}, []string{"l", "p", "m1", "m2?"}},
		"list in a list":        {map[string][]string{"l": {"k"}, "k": {"m"}, "m": nil}, []string{"l"}, []string{"l", "k", "m"}},
		"shared part":           {map[string][]string{"l": {"m"}, "k": {"m"}, "m": nil}, []string{"l", "k"}, []string{"l", "k", "m"}},
		"ring":                  {map[string][]string{"l": {"k"}, "k": {"l", "k"}}, []string{"l"}, []string{"l", "k"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := &shelf{images: test.images}
			found, err := reach(t.Context(), test.from, s.reader)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, f := range found {
				if f.Image == nil {
					got = append(got, f.Name+"?")
					continue
				}
				got = append(got, f.Image.Name)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("reached (-want +got):\n%s", diff)
			}
			for name, times := range s.asked {
				if times != 1 {
					t.Errorf("%s was looked up %d times", name, times)
				}
			}
		})
	}
}

func TestReachEndsInDeepNesting(t *testing.T) {
	s := &shelf{images: map[string][]string{}}
	for i := range 100 {
		s.images[fmt.Sprint(i)] = []string{fmt.Sprint(i + 1)}
	}
	found, err := reach(t.Context(), []string{"0"}, s.reader)
	if err != nil || len(found) != maxNesting+1 {
		t.Errorf("reached %d images, %v; want %d", len(found), err, maxNesting+1)
	}
}

func TestReachTellsOfTrouble(t *testing.T) {
	trouble := errors.New("the store is away")
	get := func(context.Context, string) (*imagev1.Image, error) { return nil, trouble }
	_, err := reach(t.Context(), []string{"a", "b"}, func(context.Context, int) getImage { return get })
	if !errors.Is(err, trouble) {
		t.Errorf("got %v, want %v", err, trouble)
	}
}
