package zdeps

import (
	_ "github.com/google/go-cmp/cmp"
	_ "github.com/google/go-containerregistry/pkg/registry"
	_ "github.com/google/go-containerregistry/pkg/v1/remote"
	_ "github.com/hashicorp/golang-lru/v2"
	_ "github.com/opencontainers/go-digest"
	_ "github.com/opencontainers/image-spec/specs-go/v1"
	_ "github.com/openshift/client-go/image/clientset/versioned"
	_ "github.com/openshift/client-go/image/informers/externalversions"
	_ "github.com/spf13/cobra"
	_ "github.com/spf13/pflag"
	_ "go.podman.io/image/v5/pkg/sysregistriesv2"
	_ "go.uber.org/goleak"
	_ "golang.org/x/sync/errgroup"
	_ "golang.org/x/sync/singleflight"
	_ "golang.org/x/time/rate"
	_ "sigs.k8s.io/yaml"
)
