// Package config reads the configuration file of `weir serve --config`: a YAML
// document of kind WeirConfiguration, group config.weir.dev.
//
// Reading has three steps, each in a file of its own: decode.go puts the document
// over the defaults, strictly (unknown and repeated fields, values of the wrong
// type); validate.go judges the values; convert.go makes the options of the
// packages that the settings are for. The first two report every mistake of a
// file at once, each with its path and its line, as one *Error.
//
// The document is walked as a tree of YAML nodes rather than decoded by a
// library, since those stop at the first value of a wrong type, lose repeated
// fields or forget the lines.
//
// Every setting is described in docs/operate/configuration.md; a test compares
// the two.
package config
