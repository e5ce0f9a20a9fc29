// Package schedule provides the controller that re-imports scheduled tags
// (importPolicy.scheduled), so that streams follow what moves upstream.
//
// Like imageimport it is an ordinary client of the public API. Time is the only thing
// it keeps: an agenda, a heap of (stream, interval, group) ordered by due time, on
// which one goroutine waits however many tags there are.
//
//	watch ─► slots of the stream ─► agenda ─► due ─► rate cap ─► POST imagestreamimports
//	                                  ▲                               │
//	                                  └──────── next slot ────────────┘
//
// All tags of a stream with the same interval are checked together, by one import; a
// stream with many is divided into groups. When a group is due follows from the names
// and the clock alone (see stream.Slot.Next): checks are spread over the interval. One
// time is kept beside, in a ConfigMap: that before which all checks were made (see
// Progress). A restart makes up for what came due since, in order, so that a server that is
// stopped often, or falls behind, reaches every tag.
//
// The cap follows from the intervals of what is scheduled. Lag is a gauge and a warning.
//
// A check of tags that did not move writes nothing: the server asks the registry with
// one HEAD per tag and leaves the stream alone.
package schedule
