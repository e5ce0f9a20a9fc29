package importer

import "weir.dev/weir/internal/foreignjson"

// configPlatform reads the platform of a config; empty parts where it names none. The metadata of
// the API has no field for the operating system.
func configPlatform(config []byte) Platform {
	var c struct {
		Architecture string `json:"architecture"`
		OS           string `json:"os"`
	}
	if foreignjson.Unmarshal(config, &c) != nil {
		return Platform{}
	}
	return Platform{Architecture: c.Architecture, OS: c.OS}
}
