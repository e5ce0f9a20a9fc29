// Package streams provides what the registry knows of image streams and images: it
// implements ociregistry.Directory as a client of the image API.
//
// All streams are kept in memory by a watch, less what the registry has no use for.
// Images are not: a stream's are read when somebody first asks for content of it, each
// once, and kept in bounded caches as what matters of them. A question whose answer is
// known costs no request; one whose answer would be "no" is put to the API before it is
// given, because another replica may have written a moment ago. What this process wrote
// it reads back before it says so.
//
// The client config is of the registry's own identity, which needs to list and watch
// imagestreams; get and create images; create imagestreammappings; delete
// imagestreamtags; update imagestreams and imagestreams/status; get imagestreamimages;
// create subjectaccessreviews; get, list and watch namespaces (where their end is to be
// told of); and to impersonate users, groups, uids and userextras, for streams and
// signatures are made as the user who pushes them.
package streams
