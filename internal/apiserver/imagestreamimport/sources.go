package imagestreamimport

import (
	"context"
	"fmt"

	imagev1 "github.com/openshift/api/image/v1"

	"weir.dev/weir/internal/foreigntext"
	"weir.dev/weir/internal/importer"
)

// maxSourceText bounds the text about a source, in bytes: the note of an Event takes 1024.
const maxSourceText = 900

// skippedSources lists the sources that failed although the images could be had from others: one
// text for each source, in the order in which they were met.
func skippedSources(result importer.Result) []string {
	var sources []importer.Skipped
	images := map[string]int{}
	collect := func(results []importer.ImageResult) {
		for i := range results {
			for _, s := range results[i].Skipped {
				if images[s.Source]++; images[s.Source] == 1 {
					sources = append(sources, s)
				}
			}
		}
	}
	collect(result.Images)
	if result.Repository != nil {
		collect(result.Repository.Images)
	}
	texts := make([]string, len(sources))
	for i, s := range sources {
		of := "one image"
		if n := images[s.Source]; n > 1 {
			of = fmt.Sprintf("%d images", n)
		}
		texts[i] = foreigntext.Truncate(fmt.Sprintf("%s failed, and %s came from another source: %s", s.Source, of, s.Text), maxSourceText)
	}
	return texts
}

func (r *REST) warnOfSources(ctx context.Context, on *imagev1.ImageStream, texts []string) {
	for _, text := range texts {
		r.WarnOfSource(ctx, on, text)
	}
}
