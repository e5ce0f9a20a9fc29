package blobstore

import (
	"context"
	"errors"
	"strings"
)

// apiPath holds the identity of the API whose streams the links are about.
const apiPath = rootFolder + "/_api"

// BindAPI records the identity of the API whose streams have the links of this storage,
// unless one is recorded, and returns the recorded one. Links of another API's streams must
// not be taken for those of streams that are gone.
func (s *Store) BindAPI(ctx context.Context, identity string) (bound string, err error) {
	content, err := s.driver.GetContent(ctx, apiPath)
	if err == nil {
		return strings.TrimSpace(string(content)), nil
	}
	if err = s.readFailure(ctx, err, "reading", apiPath); !errors.Is(err, ErrUnknown) {
		return "", err
	}
	return identity, failure(s.driver.PutContent(ctx, apiPath, []byte(identity+"\n")), "writing", apiPath)
}
