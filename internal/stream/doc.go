// Package stream provides what an image stream means: its tags and their history,
// generations, how a spec tag is resolved into status, which tags follow which,
// what the result of an import does to a stream, and what a stream counts for
// limits.
//
// Everything here is pure. Functions take API objects, change the one they are
// given to change and read no clock: the time comes in as an argument, so that all
// timestamps of one write agree. A caller that passes an object out of a cache makes a
// deep copy first.
//
// spec.tags and status.tags are sorted by tag name without duplicates. Normalize
// establishes that order once, on decoding; all functions rely on it and keep it.
//
// A write to a stream goes through the same steps wherever it comes from:
//
//	change tags           the request, or SetSpecTag, ApplyImport, ApplyMapping …
//	PrepareUpdate…        generations, what the writer may not touch
//	Resolver.Resolve      spec tags into status, tracking tags behind their sources
//	CheckLimits           LimitRange
package stream
