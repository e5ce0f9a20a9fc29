package drivers

import (
	"path/filepath"
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
		root := text("rootdirectory")
		if root == "" {
			root = filepath.Join(dataDir, "registry")
		}
		add(", folder ", root)
	case "azure":
		add(", container ", quoted(text("container")))
		add(" of account ", quoted(text("accountname")))
		add(" at ", text("serviceurl"))
	default:
		add(", bucket ", quoted(text("bucket")))
		add(" at ", text("regionendpoint"))
		add(" in region ", text("region"))
	}
	return words
}

func quoted(s string) string {
	if s == "" {
		return ""
	}
	return strconv.Quote(s)
}

// OneLine makes one line of an error of a driver, some of which have several.
func OneLine(err error) string { return strings.Join(strings.Fields(err.Error()), " ") }
