package stream

import imagev1 "github.com/openshift/api/image/v1"

// Move is the change of a tag from one image to another.
type Move struct {
	Tag string
	// From and To are names of Images.
	From, To string
	// Follows is the tag of the same stream that this one tracks, "" for none.
	Follows string
}

// Moves are the tags of a stream that had an image before and have another now, in the order of
// status. A tag's first image is no move, nor is its deletion.
func Moves(before, now *imagev1.ImageStream) []Move {
	var moves []Move
	tracked := trackedTags(now)
	for i := range now.Status.Tags {
		tag := now.Status.Tags[i].Tag
		to, from := LatestEvent(now, tag), LatestEvent(before, tag)
		if from == nil || to == nil || from.Image == "" || to.Image == "" || from.Image == to.Image {
			continue
		}
		moves = append(moves, Move{Tag: tag, From: from.Image, To: to.Image, Follows: tracked[tag]})
	}
	return moves
}
