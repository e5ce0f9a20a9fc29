// Package importrequest provides the one way in which Weir's controllers ask for
// imports: an ImageStreamImport made from an image stream, posted to the public
// API, counted, and its answer read tag by tag.
//
// The controllers that decide when (imageimport, schedule) share it, so that what
// they ask for cannot differ.
package importrequest
