#!/usr/bin/env bash
# Writes internal/imageapi/openapi/zz_generated.openapi.go from the Go types of the groups.
# Needs nothing but the Go module cache. With an argument, writes into that folder instead.
set -o errexit -o nounset -o pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

out=${1:-internal/imageapi/openapi}
file=zz_generated.openapi.go
image=github.com/openshift/api/image/v1
weir=weir.dev/weir/internal/weirapi/v1alpha1
meta=k8s.io/apimachinery/pkg/apis/meta/v1
runtime=k8s.io/apimachinery/pkg/runtime
version=k8s.io/apimachinery/pkg/version
resource=k8s.io/apimachinery/pkg/api/resource
intstr=k8s.io/apimachinery/pkg/util/intstr
core=k8s.io/api/core/v1

# The generator is not a dependency of ours, so it is asked for by the version of kube-openapi
# that go.mod has: that keeps the generated calls and the library they call in step.
generator=k8s.io/kube-openapi/cmd/openapi-gen@$(go list -m -f '{{.Version}}' k8s.io/kube-openapi)

# Descriptions of the linter's findings about other people's types go nowhere.
go run "${generator}" \
  --output-dir "${out}" \
  --output-pkg weir.dev/weir/internal/imageapi/openapi \
  --output-file "${file}" \
  --go-header-file /dev/null \
  --report-filename /dev/null \
  "${image}" "${weir}" "${meta}" "${runtime}" "${version}" \
  "${core}" "${resource}" "${intstr}"

# Weir's own code adds what libraries ship: definitions of Kubernetes' machinery, and the
# descriptions of types that have SwaggerDoc methods.
go run ./hack/trimopenapi \
  -elsewhere "${meta},${runtime},${version},${resource},${intstr}" \
  -described "${image},${core}" \
  "${out}/${file}" "${image}" "${weir}"
