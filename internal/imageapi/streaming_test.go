package imageapi_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	imagev1 "github.com/openshift/api/image/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	k8sruntime "k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/endpoints/handlers/negotiation"
	"k8s.io/apiserver/pkg/endpoints/handlers/responsewriters"

	"weir.dev/weir/internal/imageapi"
)

var encodings = map[string]string{"JSON": "application/json", "protobuf": "application/vnd.kubernetes.protobuf"}

// imageList is a list of Images of about 2 KiB each.
func imageList(count int) *imagev1.ImageList {
	list := &imagev1.ImageList{Items: make([]imagev1.Image, count)}
	for i := range list.Items {
		name := fmt.Sprintf("sha256:%064d", i)
		img := &list.Items[i]
		img.ObjectMeta = metav1.ObjectMeta{Name: name, Labels: map[string]string{"l": "m"}}
		img.DockerImageReference = "registry.example.com/app@" + name
		img.DockerImageMetadata.Raw = []byte(`{"kind":"DockerImage","apiVersion":"image.openshift.io/1.0","Id":"` + name + `","Created":null,"ContainerConfig":{}}`)
		img.DockerImageMetadataVersion = "1.0"
		for l := range 10 {
			img.DockerImageLayers = append(img.DockerImageLayers, imagev1.ImageLayer{Name: fmt.Sprintf("sha256:%032d%032d", i, l), LayerSize: 1, MediaType: "application/vnd.oci.image.layer.v1.tar+gzip"})
		}
	}
	return list
}

// serveList serves a list as the API server does, over HTTP/2 or HTTP/1.1. A client of HTTP/2 buffers
// megabytes ahead of its reader.
func serveList(tb testing.TB, list k8sruntime.Object, http2 bool) *httptest.Server {
	tb.Helper()
	_, codecs := imageapi.NewScheme("")
	s := imageapi.NewSerializer(codecs)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		own := *list.(*imagev1.ImageList)
		responsewriters.WriteObjectNegotiated(s, negotiation.DefaultEndpointRestrictions, imagev1.GroupVersion, w, r, http.StatusOK, &own, false)
	}))
	server.EnableHTTP2 = http2
	server.StartTLS()
	tb.Cleanup(server.Close)
	return server
}

func get(tb testing.TB, server *httptest.Server, mediaType string) *http.Response {
	tb.Helper()
	request, err := http.NewRequestWithContext(context.Background(), http.MethodGet, server.URL, nil)
	if err != nil {
		tb.Fatal(err)
	}
	request.Header.Set("Accept", mediaType)
	request.Header.Set("Accept-Encoding", "identity")
	response, err := server.Client().Do(request)
	if err != nil {
		tb.Fatal(err)
	}
	return response
}

// TestListsAreNotInMemoryAsAWhole has eight clients read a list at once, all of which stop in the
// middle: what the server holds for them is far below one answer.
func TestListsAreNotInMemoryAsAWhole(t *testing.T) {
	const clients, ceiling = 8, 24 << 20
	server := serveList(t, imageList(20000), false)
	for name, mediaType := range encodings {
		t.Run(name, func(t *testing.T) {
			before := heap()
			var size atomic.Int64
			var reading, read sync.WaitGroup
			reading.Add(clients)
			proceed := make(chan struct{})
			for range clients {
				read.Go(func() {
					response := get(t, server, mediaType)
					defer response.Body.Close()
					first, err := io.CopyN(io.Discard, response.Body, 1<<20)
					reading.Done()
					<-proceed
					rest, restErr := io.Copy(io.Discard, response.Body)
					if err != nil || restErr != nil {
						t.Errorf("reading: %v, %v", err, restErr)
					}
					size.Store(first + rest)
				})
			}
			reading.Wait()
			held := heap() - before
			close(proceed)
			read.Wait()
			if size.Load() < 2*ceiling/3 {
				t.Fatalf("the list has %d bytes, too few to tell", size.Load())
			}
			if held > ceiling {
				t.Errorf("%d clients in the middle of a list of %d bytes hold %d bytes, want at most %d", clients, size.Load(), held, ceiling)
			}
		})
	}
}

func heap() int64 {
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return int64(stats.HeapAlloc)
}

// TestStreamedListIsTheWholeList compares a list that is written item by item with its parts.
func TestStreamedListIsTheWholeList(t *testing.T) {
	list := imageList(3)
	list.ResourceVersion = "7"
	response := get(t, serveList(t, list, true), "application/json")
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	text := string(body)
	if !strings.HasPrefix(text, `{"kind":"ImageList","apiVersion":"image.openshift.io/v1","metadata":{"resourceVersion":"7"},"items":[{"metadata":{"name":"sha256:0`) {
		t.Errorf("the list begins %.200s", text)
	}
	if strings.Count(text, `"kind":"Image"`) != 0 || strings.Count(text, `"dockerImageReference"`) != 3 || !strings.HasSuffix(text, "}]}\n") {
		t.Errorf("the list is %s", text)
	}
}

func BenchmarkListOfImages(b *testing.B) {
	server := serveList(b, imageList(50000), true)
	for name, mediaType := range encodings {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				response := get(b, server, mediaType)
				n, err := io.Copy(io.Discard, response.Body)
				response.Body.Close()
				if err != nil {
					b.Fatal(err)
				}
				b.SetBytes(n)
			}
		})
	}
}
