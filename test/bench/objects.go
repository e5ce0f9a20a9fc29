package main

import (
	"crypto/sha256"
	"fmt"

	imagev1 "github.com/openshift/api/image/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

func digestOf(parts ...any) string {
	return fmt.Sprintf("sha256:%x", sha256.Sum256([]byte(fmt.Sprint(parts...))))
}

// image is of the size that an ordinary application image has in the API: ten
// layers, a dozen variables, a few labels.
func image(namespace, stream, digest string) imagev1.Image {
	img := imagev1.Image{
		ObjectMeta:                   metav1.ObjectMeta{Name: digest, Annotations: map[string]string{imagev1.DockerImageLayersOrderAnnotation: imagev1.DockerImageLayersOrderAscending}},
		DockerImageReference:         "registry.example.com/" + namespace + "/" + stream + "@" + digest,
		DockerImageManifestMediaType: "application/vnd.oci.image.manifest.v1+json",
		DockerImageMetadata: runtime.RawExtension{Raw: []byte(`{"kind":"DockerImage","apiVersion":"image.openshift.io/1.0","Id":"` + digestOf("config", digest) +
			`","Created":"2026-01-02T03:04:05Z","ContainerConfig":{},"Config":{"User":"1001","ExposedPorts":{"8080/tcp":{}},"Env":["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin","HOME=/opt/app","VERSION=1.2.3","LANG=C.UTF-8"],"Cmd":["/usr/bin/web","--port=8080"],"WorkingDir":"/opt/app","Labels":{"org.opencontainers.image.source":"https://git.example.com/shop/web","org.opencontainers.image.version":"1.2.3"}},"Architecture":"amd64","Size":123456789}`)},
		DockerImageMetadataVersion: "1.0",
	}
	for i := range 10 {
		img.DockerImageLayers = append(img.DockerImageLayers, imagev1.ImageLayer{Name: digestOf("layer", digest, i), LayerSize: 12345678, MediaType: "application/vnd.oci.image.layer.v1.tar+gzip"})
	}
	return img
}
