package stream

import (
	"fmt"

	imagev1 "github.com/openshift/api/image/v1"
)

const (
	// MaxBytes is how many bytes of protobuf a stream without its conditions can take. A stream
	// is one object, written and read as a whole: docs/decisions/0018-size-of-a-stream.md.
	MaxBytes = 3 << 19 // 1.5 MiB
	// conditionBytes is how much more it can take with its conditions, so that a refusal can
	// be recorded on a full stream.
	conditionBytes = 3 << 17 // 384 KiB; with MaxBytes 128 KiB less than etcd's client sends
	// LargeBytes is the size from which on a history should be shortened.
	LargeBytes = 256 << 10
)

// SizeError reports a write that would make a stream larger than Max bytes. Clients recognise it as
// a limit by the words "exceeds the maximum limit". The text does not depend on what was written:
// the same refusal once more changes no condition.
type SizeError struct{ Max int }

func (e *SizeError) Error() string {
	return fmt.Sprintf("the size of the image stream exceeds the maximum limit of %d bytes; delete tags, or set the annotation %s to shorten the history",
		e.Max, AnnotationHistoryLimit)
}

// CheckSize compares the size of s with its limit. A write that makes a stream no larger
// passes. old is nil for a new stream.
func CheckSize(s, old *imagev1.ImageStream) *SizeError {
	content, conditions := sizeOf(s)
	if content <= MaxBytes && conditions <= conditionBytes {
		return nil
	}
	var oldContent, oldConditions int
	if old != nil {
		oldContent, oldConditions = sizeOf(old)
	}
	switch {
	case content > MaxBytes && content > oldContent:
		return &SizeError{Max: MaxBytes}
	case conditions > conditionBytes && conditions > oldConditions:
		return &SizeError{Max: MaxBytes + conditionBytes}
	}
	return nil
}

// sizeOf returns the bytes of a stream without its conditions, and those of the conditions.
func sizeOf(s *imagev1.ImageStream) (content, conditions int) {
	const framing = 4 // tag and length in front of a condition
	for i := range s.Status.Tags {
		for j := range s.Status.Tags[i].Conditions {
			conditions += s.Status.Tags[i].Conditions[j].Size() + framing
		}
	}
	return s.Size() - conditions, conditions
}
