package importer_test

import (
	"encoding/json"

	digest "github.com/opencontainers/go-digest"
)

// manifestOf makes an image manifest by hand, from blobs that it stores on the server.
func (s *testServer) manifestOf(path, mediaType, configType string, config []byte, layers ...string) []byte {
	s.t.Helper()
	type blob struct {
		MediaType string `json:"mediaType"`
		Digest    string `json:"digest"`
		Size      int    `json:"size"`
	}
	manifest := struct {
		SchemaVersion int    `json:"schemaVersion"`
		MediaType     string `json:"mediaType,omitempty"`
		Config        blob   `json:"config"`
		Layers        []blob `json:"layers"`
	}{2, mediaType, blob{configType, digest.FromBytes(config).String(), len(config)}, nil}
	s.putBlob(path, config)
	for _, l := range layers {
		manifest.Layers = append(manifest.Layers, blob{"application/octet-stream", s.putBlob(path, []byte(l)), len(l)})
	}
	raw, err := json.Marshal(manifest)
	if err != nil {
		s.t.Fatal(err)
	}
	return raw
}
