// Package schedule provides the controller that re-imports scheduled tags
// (importPolicy.scheduled), so that streams follow changes upstream.
//
// Like imageimport it is an ordinary client of the public API. Its state is an agenda: a heap
// of (stream, interval, group) ordered by due time, on which one goroutine waits for any
// number of tags.
//
//	watch ─► slots of the stream ─► agenda ─► due ─► rate cap ─► POST imagestreamimports
//	                                  ▲                               │
//	                                  └──────── next slot ────────────┘
//
// All tags of a stream with the same interval are checked together, by one import; a
// stream with many is divided into groups. Names and clock alone determine when a group is due
// (see stream.Slot.Next): checks are spread over the interval. A ConfigMap has the time before
// which all checks were made (see Progress). A restart catches up on later checks, in order, so
// that a server that is stopped often, or falls behind, reaches every tag.
//
// The rate cap follows from the intervals of the scheduled tags. Lag is a gauge and a warning.
//
// A check of unchanged tags writes nothing: the server sends one HEAD per tag to the registry
// and does not write the stream.
package schedule
