// Package depcheck provides the rules about what may import what, and the tests that
// hold them.
//
// rules.go is the part to read and to change: which component stands above which, and
// which packages stay clear of what. Every rule carries its reason, and a test that
// finds it broken prints that reason beside the import that broke it.
//
// The imports of the module's own files are parsed here, all files of all build
// constraints alike. `go list` returns what they reach in other modules.
package depcheck
