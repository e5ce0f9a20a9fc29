// Package streams provides image streams and Images to the registry: it implements
// ociregistry.Directory as a client of the image API.
//
// A watch keeps all streams in memory, without the fields that the registry does not use.
// Images are read at the first request for their content, each once, and their parts are
// kept in bounded caches. A lookup that memory can answer costs no request. Before an answer
// is "not there", the API is read, because another replica may have written a moment ago.
// After each write of its own the process reads the stream back.
//
// The directory also reports deleted streams and namespaces, so that their links are removed
// (removals.go).
//
// The client config is of the registry's own identity, which needs to list and watch
// imagestreams; get and create images; create imagestreammappings; delete
// imagestreamtags; update imagestreams and imagestreams/status; get imagestreamimages;
// create subjectaccessreviews; get, list and watch namespaces; and to impersonate users,
// groups, uids and userextras, because streams and signatures are made as the user who
// pushes them.
package streams
