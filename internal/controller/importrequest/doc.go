// Package importrequest creates the imports of Weir's controllers: it builds an
// ImageStreamImport from an image stream, posts it to the public API, counts it, and reads the
// response tag by tag.
//
// The controllers that decide when to import (imageimport, schedule) share it, so that their
// imports cannot differ.
package importrequest
