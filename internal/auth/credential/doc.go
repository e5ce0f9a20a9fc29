// Package credential finds the end of the credentials of a request: at which time, and with
// which objects of the API. A token of the registry that is issued for a credential ends no
// later.
package credential
