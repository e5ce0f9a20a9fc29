// Package tagview provides what imagestreamtags and imagetags have in common: both
// show the tags of image streams, one object for each, and both are written by
// changing the stream. How a tag looks in each of them is theirs.
//
//	rest.go      the REST storage of a Kind; strategy.go: the shared part of its Strategy
//	list.go      lists in pages that are counted in tags, over lists of streams
//	position.go  where a page ended: the continue token
//	selection.go field selectors on names of tags
//	write.go     what writes have in common, and create; update.go, delete.go
//	image.go     the image of a tag
package tagview
