package reference_test

import (
	"fmt"

	"weir.dev/weir/internal/reference"
)

func ExampleParse() {
	spec, err := reference.Parse("localhost:5000/org/team/app:v1")
	fmt.Println(spec.Registry, spec.Namespace, spec.Name, spec.Tag, err)

	_, err = reference.Parse("quay.io/Org/app")
	fmt.Println(err)
	// Output:
	// localhost:5000 org team/app v1 <nil>
	// "quay.io/Org/app" is not a valid pull spec: the repository has capital letters, which only the registry and the tag may have
}

func ExamplePullSpec_WithDefaults() {
	spec, _ := reference.Parse("busybox")
	fmt.Println(spec.WithDefaults(), "from", spec.ContactHost())
	// Output: docker.io/library/busybox:latest from registry-1.docker.io
}

func ExamplePullSpec_Identity() {
	for _, s := range []string{"busybox", "docker.io/library/busybox:latest", "quay.io/org/app:v1"} {
		spec, _ := reference.Parse(s)
		fmt.Println(spec.Identity())
	}
	// Output:
	// busybox
	// busybox
	// quay.io/org/app:v1
}

func ExampleParseTagFrom() {
	for _, name := range []string{"v1", "app:v1"} {
		stream, tag, _ := reference.ParseTagFrom(name)
		fmt.Printf("%q %q\n", stream, tag)
	}
	// Output:
	// "" "v1"
	// "app" "v1"
}

func ExampleMatchesImage() {
	fmt.Println(reference.MatchesImage("sha256:4f3c", "4f"), reference.MatchesImage("sha256:4f3c", "sha256:4"))
	// Output: true true
}

func ExampleParseRepository() {
	for _, name := range []string{"shop/web", "shop/charts/web", "web", "my.org/web"} {
		r, err := reference.ParseRepository(name)
		fmt.Printf("%q %q %v\n", r.Namespace, r.Stream, err)
	}
	// Output:
	// "shop" "web" <nil>
	// "shop" "charts.x2f.web" <nil>
	// "" "" "web" is not a valid repository name: it must be NAMESPACE/NAME
	// "my.org" "web" there can be no repository "my.org/web": a namespace has at most 63 lower-case letters, digits and dashes
}

func ExampleStreamName() {
	for _, path := range []string{"web", "a/b", "a--b", "a.x2f.b", "a.x2f.b/c"} {
		stream := reference.StreamName(path)
		fmt.Println(path, "→", stream, "→", reference.RepositoryPath(stream))
	}
	// Output:
	// web → web → web
	// a/b → a.x2f.b → a/b
	// a--b → a.x2d2.b → a--b
	// a.x2f.b → a.x2f.b → a/b
	// a.x2f.b/c → a.x2e.x2f.b.x2f.c → a.x2f.b/c
}
