// Package config reads the configuration file (--config): a YAML document of kind WeirConfiguration,
// group config.weir.dev.
//
// A section of the file is the struct of the component that it configures, with json tags, defaults
// and a method Validate in the component's package (see internal/settings). This package has the
// top of the file (types.go), the sections that belong to several components or to the composition of
// the process (registry.go, imports in types.go), and what follows from more than one setting
// (values.go).
//
// A new setting is a field of such a struct with its default and its check, and a line in
// docs/operate/configuration.md; a test compares the two.
//
// decode.go puts the document over the defaults, strictly (unknown and repeated fields, values of
// the wrong type). It reports every mistake of a file at once, as validate.go does, each with its path
// and its line, as one *Error. The document is walked as a tree of YAML nodes, because libraries
// stop at the first value of a wrong type, lose repeated fields or forget the lines.
package config
