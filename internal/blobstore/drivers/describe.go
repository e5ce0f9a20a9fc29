package drivers

import (
	"net/url"
	"strconv"
	"strings"
)

// Describe names a storage in words, without secrets: `storage s3, bucket "registry" at
// https://s3.example.com`.
func Describe(name string, parameters map[string]any, dataDir string) string {
	text := func(parameter string) string { return textOf(parameters, parameter) }
	words := "storage " + name
	add := func(what, value string) {
		if value != "" {
			words += what + value
		}
	}
	switch name {
	case "filesystem":
		add(", folder ", Folder(name, parameters, dataDir))
	case "azure":
		add(", container ", quoted(text("container")))
		add(" of account ", quoted(text("accountname")))
		add(" at ", shown(text("serviceurl")))
	default:
		add(", bucket ", quoted(text("bucket")))
		add(" at ", shown(text("regionendpoint")))
		add(" in region ", text("region"))
	}
	return words
}

// shown is a URL without user, password and query, which may be secret.
func shown(endpoint string) string {
	u, err := url.Parse(endpoint)
	if err != nil || u.Host == "" {
		_, host, found := strings.Cut(endpoint, "@")
		if !found {
			return endpoint
		}
		return host
	}
	return u.Scheme + "://" + u.Host + u.Path
}

func quoted(s string) string {
	if s == "" {
		return ""
	}
	return strconv.Quote(s)
}

// OneLine makes one line of an error of a driver, some of which have several.
func OneLine(err error) string { return strings.Join(strings.Fields(err.Error()), " ") }
