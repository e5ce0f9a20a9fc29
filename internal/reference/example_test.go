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
	// "quay.io/Org/app" is not a valid pull spec: each path component must be lower-case letters and digits, separated by one dot, one or two underscores, or dashes
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
