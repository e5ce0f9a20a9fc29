package ociregistry_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"

	"testing"
	"time"

	digest "github.com/opencontainers/go-digest"

	"weir.dev/weir/internal/blobstore"
	"weir.dev/weir/internal/ociregistry"
)

// begin starts an upload and returns where it goes on.
func (r *registry) begin(repo string, query string) string {
	r.t.Helper()
	got := r.want(202, "", r.do("POST", "/v2/"+repo+"/blobs/uploads/"+query, nil))
	location := got.header.Get("Location")
	if !strings.HasPrefix(location, "/v2/"+repo+"/blobs/uploads/") || got.header.Get("Docker-Upload-Uuid") == "" || got.header.Get("Range") != "0-0" {
		r.t.Fatalf("an upload begins with %v", got.header)
	}
	return location
}

// standsAt fails unless the upload has n bytes.
func (r *registry) standsAt(location string, n int) {
	r.t.Helper()
	got := r.want(204, "", r.do("GET", location, nil))
	if got.header.Get("Range") != uploadSpan(max(n, 1)) || got.header.Get("Location") != location {
		r.t.Fatalf("the upload stands at %q of %q, not at %d bytes", got.header.Get("Range"), got.header.Get("Location"), n)
	}
}

// TestRefusedRequestsKeepTheUpload holds that a request whose digest or range is refused neither
// ends the upload nor adds to it, and that the answer to a range says where the upload is.
func TestRefusedRequestsKeepTheUpload(t *testing.T) {
	eachDriver(t, func(t *testing.T, r *registry) {
		location := r.begin("shop/web", "?digest-algorithm=sha512")
		r.want(400, ociregistry.CodeDigestInvalid, r.do("PUT", location, []byte("x")))
		r.want(400, ociregistry.CodeDigestInvalid, r.do("PUT", location+"?digest=latest", []byte("x")))
		r.standsAt(location, 0)
		r.want(202, "", r.do("PATCH", location, []byte("abcdef"), header("Content-Range", "0-5")))
		for contentRange, status := range map[string]int{"0-2": 416, "5-7": 416, "7-9": 416, "nonsense": 416, "6-9": 400, "6-7": 400} {
			code := map[int]ociregistry.Code{416: ociregistry.CodeBlobUploadInvalid, 400: ociregistry.CodeSizeInvalid}[status]
			got := r.want(status, code, r.do("PATCH", location, []byte("abc"), header("Content-Range", contentRange)))
			if status == 416 && got.header.Get("Location") != location {
				t.Errorf("Location of the answer to %s is %q", contentRange, got.header.Get("Location"))
			}
		}
		r.standsAt(location, 6)
		r.want(400, ociregistry.CodeDigestInvalid, r.do("POST", "/v2/shop/web/blobs/uploads/?digest-algorithm=md5", nil))
	})
}

func TestUploadWithoutLengthAndWithRange(t *testing.T) {
	r := start(t)
	location := r.begin("shop/web", "")
	r.want(400, ociregistry.CodeSizeInvalid, r.do("PATCH", location, []byte("abcdef"), header("Content-Range", "0-9"), chunked))
	r.standsAt(location, 6)
	r.want(400, ociregistry.CodeSizeInvalid, r.do("PATCH", location, []byte("ghijkl"), header("Content-Range", "6-8"), chunked))
	r.standsAt(location, 9)
	r.want(202, "", r.do("PATCH", location, []byte("jkl"), header("Content-Range", "9-11"), chunked))
}

func TestMinChunk(t *testing.T) {
	r := start(t, func(o *ociregistry.Options) { o.MinChunkBytes = 5 << 20 })
	got := r.want(202, "", r.do("POST", "/v2/shop/web/blobs/uploads/", nil))
	if got.header.Get("OCI-Chunk-Min-Length") != "5242880" {
		t.Errorf("the answer has %v", got.header)
	}
}

// TestMountNeedsTheRightToPull holds that a mount from a repository that the caller may not pull
// begins an upload and reveals nothing, as one of a blob that is not there does.
func TestMountNeedsTheRightToPull(t *testing.T) {
	r := start(t)
	d := r.pushBlob("a/app", []byte("shared")).String()
	r.access.allow("pusher", ociregistry.ActionPush, "b/app")
	r.access.allow("pusher", ociregistry.ActionPull, "b/app")
	mount := func(user, query string) reply {
		return r.do("POST", "/v2/b/app/blobs/uploads/?mount="+query, nil, as(user))
	}
	for _, query := range []string{d + "&from=a/app", d + "&from=a/none", d + "&from=A/x", digest.FromString("none").String() + "&from=a/app"} {
		if got := r.want(202, "", mount("pusher", query)); got.header.Get("Location") == "" {
			t.Errorf("%q begins no upload: %v", query, got.header)
		}
	}
	r.want(404, ociregistry.CodeBlobUnknown, r.do("GET", "/v2/b/app/blobs/"+d, nil))
	r.access.allow("pusher", ociregistry.ActionPull, "a/app")
	r.want(201, "", mount("pusher", d+"&from=a/app"))
	r.want(200, "", r.do("GET", "/v2/b/app/blobs/"+d, nil))
	r.want(401, ociregistry.CodeUnauthorized, mount("stranger", d+"&from=a/app"))
}

func TestMountWithoutSource(t *testing.T) {
	r := start(t)
	layer := []byte("layer of one")
	r.push("b/other", "v1", r.image("b/other", "one"))
	r.push("a/app", "v1", r.image("a/app", "one"))
	d := digest.FromBytes(layer)
	r.access.allow("pusher", ociregistry.ActionPush, "a/new")
	path := "/v2/a/new/blobs/uploads/?mount=" + d.String()
	r.want(202, "", r.do("POST", path, nil, as("pusher")))
	r.access.allow("pusher", ociregistry.ActionPull, "b/other")
	r.want(202, "", r.do("POST", path, nil, as("pusher"))) // it is of another namespace
	r.access.allow("pusher", ociregistry.ActionPull, "a/app")
	r.want(201, "", r.do("POST", path, nil, as("pusher")))
	// A mount that does not work out may still bring the blob along.
	other := []byte("brought along")
	brought := digest.FromBytes(other).String()
	r.want(201, "", r.do("POST", "/v2/a/new/blobs/uploads/?mount="+brought+"&digest="+brought, other))
}

// TestMountLooksAtItsNamespace holds that a mount without source asks for no right in other
// namespaces: how long it takes must not depend on what they have.
func TestMountLooksAtItsNamespace(t *testing.T) {
	r := start(t)
	r.push("a/app", "v1", r.image("a/app", "one"))
	r.access.allow("pusher", ociregistry.ActionPush, "b/app")
	r.want(202, "", r.do("POST", "/v2/b/app/blobs/uploads/?mount="+digestOf([]byte("layer of one")), nil, as("pusher")))
	for _, asked := range r.access.asked {
		if strings.HasPrefix(asked, "pusher") && strings.HasSuffix(asked, "a/app") {
			t.Errorf("the rights of the caller were reviewed: %s", asked)
		}
	}
}

// TestMountFetchesNothing holds that a blob which only another registry has is not mounted:
// the target could never fetch it.
func TestMountFetchesNothing(t *testing.T) {
	r := start(t)
	layer := digest.FromString("far away")
	r.imported(t, "a/app", "v1", []byte(`{"layers":[{"digest":"`+layer.String()+`"}]}`))
	r.want(202, "", r.do("POST", "/v2/b/app/blobs/uploads/?mount="+layer.String()+"&from=a/app", nil))
	if n := r.upstream.fetched[layer]; n != 0 {
		t.Errorf("it was fetched %d times", n)
	}
}

// TestBrokenUpload holds that what arrived before a connection broke counts.
func TestBrokenUpload(t *testing.T) {
	eachDriver(t, func(t *testing.T, r *registry) {
		content := bytesOf(2<<20, 6)
		d := digest.FromBytes(content)
		location := r.begin("shop/web", "")
		conn := r.dial()
		fmt.Fprintf(conn, "PATCH %s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer admin\r\nContent-Length: %d\r\n\r\n", location, len(content))
		if _, err := conn.Write(content[:1<<20]); err != nil {
			t.Fatal(err)
		}
		conn.Close()
		wait(t, "the upload stands at what arrived", func() bool {
			got := r.do("GET", location, nil)
			return got.status == 204 && got.header.Get("Range") == uploadSpan(1<<20)
		})
		r.want(202, "", r.do("PATCH", location, content[1<<20:], header("Content-Range", fmt.Sprintf("%d-%d", 1<<20, len(content)-1))))
		r.want(201, "", r.do("PUT", location+"?digest="+d.String(), nil))
		if got := r.want(200, "", r.do("GET", "/v2/shop/web/blobs/"+d.String(), nil)); !bytes.Equal(got.body, content) {
			t.Error("it is other content")
		}
	})
}

// TestBrokenMonolithic holds that a blob whose connection broke is not there.
func TestBrokenMonolithic(t *testing.T) {
	eachDriver(t, func(t *testing.T, r *registry) {
		content := bytesOf(1<<20, 7)
		d := digest.FromBytes(content)
		conn := r.dial()
		fmt.Fprintf(conn, "POST /v2/shop/web/blobs/uploads/?digest=%s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer admin\r\nContent-Length: %d\r\n\r\n", d, len(content))
		if _, err := conn.Write(content[:len(content)-1]); err != nil {
			t.Fatal(err)
		}
		if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
			t.Fatal(err)
		}
		res, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		conn.Close()
		if res.StatusCode != 400 {
			t.Errorf("status is %s", res.Status)
		}
		r.want(404, ociregistry.CodeBlobUnknown, r.do("GET", "/v2/shop/web/blobs/"+d.String(), nil))
	})
}

func (r *registry) dial() net.Conn {
	r.t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(r.url, "http://"))
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { conn.Close() })
	return conn
}

// TestBusyUpload holds that a second request waits for the first one's end.
func TestBusyUpload(t *testing.T) {
	r := start(t)
	location := r.begin("shop/web", "")
	src, dst := io.Pipe()
	done := make(chan reply, 1)
	go func() {
		req := r.request("PATCH", location, nil)
		req.Body, req.ContentLength = src, -1
		res, err := r.client.Do(req)
		if err != nil {
			done <- reply{err: err}
			return
		}
		defer res.Body.Close()
		done <- reply{status: res.StatusCode, header: res.Header}
	}()
	if _, err := dst.Write([]byte("abc")); err != nil {
		t.Fatal(err)
	}
	r.inUse(location)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if r.answers(r.request("GET", location, nil).WithContext(ctx)) {
		t.Error("an upload that is in use was answered at once")
	}
	later := make(chan reply, 1)
	go func() { later <- r.do("GET", location, nil) }()
	dst.Close()
	if got := <-done; got.status != 202 || got.header.Get("Range") != "0-2" {
		t.Errorf("the first request got %+v", got)
	}
	if got := <-later; got.status != 204 || got.header.Get("Range") != "0-2" {
		t.Errorf("the second request got %+v", got)
	}
}

// inUse waits until a request uses an upload.
func (r *registry) inUse(location string) {
	r.t.Helper()
	wait(r.t, "the upload is in use", func() bool {
		u, err := r.store.Upload(context.Background(), "shop/web", location[strings.LastIndex(location, "/")+1:])
		if err == nil {
			u.Close()
		}
		return errors.Is(err, blobstore.ErrBusy)
	})
}
