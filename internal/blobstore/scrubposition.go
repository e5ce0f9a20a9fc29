package blobstore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"k8s.io/klog/v2"
)

// maxStateBytes bounds the files of the store's own state, in bytes.
const maxStateBytes = 64 << 10

// ScrubPosition is how far a round over all blobs has come, see package scrub.
type ScrubPosition struct {
	// RoundStarted is when the round began, zero before the first.
	RoundStarted time.Time `json:"roundStarted"`
	// After is the Path of the last blob that was read, "" at the beginning.
	After string `json:"after,omitempty"`
	// Finished is when the round ended, zero while it goes on.
	Finished time.Time `json:"finished,omitzero"`
}

// ScrubPosition returns the position that any process set last. It is zero when there is
// none, or, after a log line, when the file is damaged.
func (s *Store) ScrubPosition(ctx context.Context) (ScrubPosition, error) {
	return readState[ScrubPosition](ctx, s, scrubPath)
}

// SetScrubPosition records how far a round has come.
func (s *Store) SetScrubPosition(ctx context.Context, position ScrubPosition) error {
	return s.writeState(ctx, scrubPath, position)
}

// readState reads a small JSON file of the store's own; the zero value when there is none.
// A damaged file is logged and counts as none: its content is written again in time. Failures
// of storage are errors.
func readState[T any](ctx context.Context, s *Store, path string) (T, error) {
	var state, none T
	content, err := s.readUpTo(ctx, path, maxStateBytes)
	if errors.Is(err, ErrUnknown) {
		return none, nil
	}
	var tooLarge *SizeMismatch
	if err != nil && !errors.As(err, &tooLarge) {
		return none, err
	}
	if err == nil {
		err = json.Unmarshal(content, &state)
	}
	if err != nil {
		klog.FromContext(ctx).Error(err, "A file in the registry's storage is damaged; replacing it", "path", path)
		return none, nil
	}
	return state, nil
}

// readUpTo reads a file of at most so many bytes: *SizeMismatch for a larger one.
func (s *Store) readUpTo(ctx context.Context, path string, most int64) ([]byte, error) {
	r, err := s.driver.Reader(ctx, path, 0)
	if err != nil {
		return nil, s.readFailure(ctx, err, "opening", path)
	}
	defer r.Close()
	content, err := io.ReadAll(io.LimitReader(r, most+1))
	if err != nil {
		return nil, s.readFailure(ctx, err, "reading", path)
	}
	if int64(len(content)) > most {
		return nil, fmt.Errorf("reading %s: %w", path, &SizeMismatch{Want: most, Got: int64(len(content))})
	}
	return content, nil
}

// writeState writes such a file. It survives a power cut once writeState returns.
func (s *Store) writeState(ctx context.Context, path string, value any) error {
	content, err := json.Marshal(value)
	if err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	return failure(s.driver.PutContent(ctx, path, content), "writing", path)
}
