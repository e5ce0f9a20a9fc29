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
	"sync"
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

func TestUpload(t *testing.T) {
	content := bytesOf(700_000, 1)
	d := digest.FromBytes(content)
	for name, send := range map[string]func(r *registry, location string){
		"PUT": func(r *registry, location string) {
			r.want(201, "", r.do("PUT", location+"?digest="+d.String(), content))
		},
		"PUT without length": func(r *registry, location string) {
			r.want(201, "", r.do("PUT", location+"?digest="+d.String(), content, chunked))
		},
		"a stream": func(r *registry, location string) {
			got := r.want(202, "", r.do("PATCH", location, content, chunked))
			if got.header.Get("Range") != uploadSpan(len(content)) || got.header.Get("Location") != location {
				r.t.Errorf("PATCH answers %v", got.header)
			}
			r.want(201, "", r.do("PUT", location+"?digest="+d.String(), nil))
		},
		"chunks": func(r *registry, location string) {
			r.standsAt(location, 0)
			for at := 0; at < len(content); at += 100_000 {
				got := r.want(202, "", r.do("PATCH", location, content[at:at+100_000],
					header("Content-Range", fmt.Sprintf("%d-%d", at, at+99_999)), header("Content-Type", "application/octet-stream")))
				if got.header.Get("Range") != uploadSpan(at+100_000) {
					r.t.Errorf("a chunk answers %v", got.header)
				}
				location = got.header.Get("Location")
			}
			r.standsAt(location, len(content))
			r.want(201, "", r.do("PUT", location+"?digest="+d.String(), nil))
		},
		"chunks, the last with PUT": func(r *registry, location string) {
			r.want(202, "", r.do("PATCH", location, content[:5], header("Content-Range", "0-4")))
			r.want(201, "", r.do("PUT", location+"?digest="+d.String(), content[5:],
				header("Content-Range", fmt.Sprintf("5-%d", len(content)-1))))
		},
		"chunks without Content-Range": func(r *registry, location string) {
			r.want(202, "", r.do("PATCH", location, content[:5]))
			r.want(202, "", r.do("PATCH", location, content[5:]))
			r.want(201, "", r.do("PUT", location+"?digest="+d.String(), nil))
		},
	} {
		t.Run(name, func(t *testing.T) {
			eachDriver(t, func(t *testing.T, r *registry) {
				location := r.begin("shop/web", "")
				send(r, location)
				if got := r.want(200, "", r.do("GET", "/v2/shop/web/blobs/"+d.String(), nil)); !bytes.Equal(got.body, content) {
					t.Error("it is other content")
				}
				r.want(404, ociregistry.CodeBlobUploadUnknown, r.do("GET", location, nil))
			})
		})
	}
}

func TestUploadSHA512(t *testing.T) {
	eachDriver(t, func(t *testing.T, r *registry) {
		content := bytesOf(100_000, 2)
		d := digest.SHA512.FromBytes(content)
		for _, query := range []string{"", "?digest-algorithm=sha512", "?digest-algorithm=sha256"} {
			location := r.begin("shop/web", query)
			r.want(202, "", r.do("PATCH", location, content[:50_000]))
			got := r.want(201, "", r.do("PUT", location+"?digest="+d.String(), content[50_000:]))
			if got.header.Get("Docker-Content-Digest") != d.String() {
				t.Errorf("the answer has %v", got.header)
			}
			r.want(202, "", r.do("DELETE", got.header.Get("Location"), nil))
		}
		r.want(400, ociregistry.CodeDigestInvalid, r.do("POST", "/v2/shop/web/blobs/uploads/?digest-algorithm=md5", nil))
	})
}

func TestUploadOutOfOrder(t *testing.T) {
	eachDriver(t, func(t *testing.T, r *registry) {
		location := r.begin("shop/web", "")
		refused := func(status int, code ociregistry.Code, body string, contentRange string, options ...option) {
			t.Helper()
			got := r.want(status, code, r.do("PATCH", location, []byte(body), append(options, header("Content-Range", contentRange))...))
			if status == 416 && got.header.Get("Location") != location {
				t.Errorf("a 416 has no Location: %v", got.header)
			}
		}
		refused(416, ociregistry.CodeBlobUploadInvalid, "abc", "3-5")
		r.standsAt(location, 0)
		r.want(202, "", r.do("PATCH", location, []byte("abcdef"), header("Content-Range", "0-5")))
		refused(416, ociregistry.CodeBlobUploadInvalid, "abc", "0-2")
		refused(416, ociregistry.CodeBlobUploadInvalid, "abc", "5-7")
		refused(416, ociregistry.CodeBlobUploadInvalid, "abc", "7-9")
		refused(416, ociregistry.CodeBlobUploadInvalid, "abc", "nonsense")
		refused(400, ociregistry.CodeSizeInvalid, "abc", "6-9")
		refused(400, ociregistry.CodeSizeInvalid, "abc", "6-7")
		r.standsAt(location, 6)
		r.want(416, ociregistry.CodeBlobUploadInvalid, r.do("PUT", location+"?digest="+digest.FromString("abcdefg").String(), []byte("g"), header("Content-Range", "7-7")))
		r.want(201, "", r.do("PUT", location+"?digest="+digest.FromString("abcdefg").String(), []byte("g"), header("Content-Range", "6-6")))
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

func TestUploadWrongDigest(t *testing.T) {
	eachDriver(t, func(t *testing.T, r *registry) {
		wrong := digest.FromString("something else")
		r.want(400, ociregistry.CodeDigestInvalid, r.do("POST", "/v2/shop/web/blobs/uploads/?digest="+wrong.String(), []byte("x")))
		r.want(400, ociregistry.CodeDigestInvalid, r.do("POST", "/v2/shop/web/blobs/uploads/?digest=sha256:x", []byte("x")))
		location := r.begin("shop/web", "")
		// Without a digest the upload stays.
		r.want(400, ociregistry.CodeDigestInvalid, r.do("PUT", location, []byte("x")))
		r.want(400, ociregistry.CodeDigestInvalid, r.do("PUT", location+"?digest=latest", []byte("x")))
		r.standsAt(location, 0)
		r.want(400, ociregistry.CodeDigestInvalid, r.do("PUT", location+"?digest="+wrong.String(), []byte("x")))
		r.want(404, ociregistry.CodeBlobUnknown, r.do("GET", "/v2/shop/web/blobs/"+wrong.String(), nil))
		r.want(404, ociregistry.CodeBlobUnknown, r.do("GET", "/v2/shop/web/blobs/"+digest.FromString("x").String(), nil))
		r.want(404, ociregistry.CodeBlobUploadUnknown, r.do("GET", location, nil))
	})
}

func TestUploadCancel(t *testing.T) {
	eachDriver(t, func(t *testing.T, r *registry) {
		location := r.begin("shop/web", "")
		r.want(202, "", r.do("PATCH", location, []byte("abc")))
		r.want(204, "", r.do("DELETE", location, nil))
		for _, method := range []string{"GET", "DELETE"} {
			r.want(404, ociregistry.CodeBlobUploadUnknown, r.do(method, location, nil))
		}
		r.want(404, ociregistry.CodeBlobUploadUnknown, r.do("PATCH", location, []byte("abc")))
		r.want(404, ociregistry.CodeBlobUploadUnknown, r.do("PUT", location+"?digest="+digest.FromString("abc").String(), nil))
	})
}

func TestUploadElsewhere(t *testing.T) {
	r := start(t)
	location := r.begin("shop/web", "")
	id := location[strings.LastIndex(location, "/")+1:]
	r.want(404, ociregistry.CodeBlobUploadUnknown, r.do("GET", "/v2/shop/other/blobs/uploads/"+id, nil))
	for _, id := range []string{"x", "..", "%2e%2e", strings.Repeat("a", 500)} {
		r.want(404, ociregistry.CodeBlobUploadUnknown, r.do("GET", "/v2/shop/web/blobs/uploads/"+id, nil))
	}
	r.standsAt(location, 0)
}

func TestMinChunk(t *testing.T) {
	r := start(t, func(o *ociregistry.Options) { o.MinChunkBytes = 5 << 20 })
	got := r.want(202, "", r.do("POST", "/v2/shop/web/blobs/uploads/", nil))
	if got.header.Get("OCI-Chunk-Min-Length") != "5242880" {
		t.Errorf("the answer has %v", got.header)
	}
}

func TestMount(t *testing.T) {
	eachDriver(t, func(t *testing.T, r *registry) {
		content := []byte("shared")
		d := r.pushBlob("a/app", content)
		mount := func(user, query string) reply {
			return r.do("POST", "/v2/b/app/blobs/uploads/?mount="+query, nil, as(user))
		}
		r.access.allow("pusher", ociregistry.ActionPush, "b/app")
		r.access.allow("pusher", ociregistry.ActionPull, "b/app")
		reads := func() int { return r.do("GET", "/v2/b/app/blobs/"+d.String(), nil).status }

		// A right that is missing is no refusal, and neither is what is not there.
		for _, query := range []string{
			d.String() + "&from=a/app", d.String() + "&from=a/none", d.String() + "&from=A/x", d.String() + "&from=x",
			digest.FromString("none").String() + "&from=a/app", "sha256:x&from=a/app", d.String(), "", d.String() + "&from=",
		} {
			got := r.want(202, "", mount("pusher", query))
			if got.header.Get("Location") == "" || got.header.Get("Docker-Upload-Uuid") == "" {
				t.Errorf("%q: no upload begins: %v", query, got.header)
			}
		}
		r.want(202, "", mount("admin", d.String()+"&from=c/app")) // c has not got it
		if reads() != 404 {
			t.Fatal("a mount that was refused made the blob readable")
		}
		r.access.allow("pusher", ociregistry.ActionPull, "a/app")
		got := r.want(201, "", mount("pusher", d.String()+"&from=a/app"))
		if got.header.Get("Location") != "/v2/b/app/blobs/"+d.String() || got.header.Get("Docker-Content-Digest") != d.String() {
			t.Errorf("the answer has %v", got.header)
		}
		if reads() != 200 {
			t.Error("the blob is not readable where it was mounted")
		}
		r.want(401, ociregistry.CodeUnauthorized, mount("stranger", d.String()+"&from=a/app"))
	})
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

func TestConcurrentUploads(t *testing.T) {
	r := startWith(t, newDisk(t))
	content := bytesOf(300_000, 8)
	d := digest.FromBytes(content)
	var group sync.WaitGroup
	statuses := make([]int, 40)
	for i := range statuses {
		group.Go(func() {
			location := r.begin("shop/web", "")
			r.do("PATCH", location, content[:100_000])
			statuses[i] = r.do("PUT", location+"?digest="+d.String(), content[100_000:]).status
		})
	}
	group.Wait()
	for i, status := range statuses {
		if status != 201 {
			t.Errorf("upload %d ended with %d", i, status)
		}
	}
	if got := r.want(200, "", r.do("GET", "/v2/shop/web/blobs/"+d.String(), nil)); !bytes.Equal(got.body, content) {
		t.Error("it is other content")
	}
}
