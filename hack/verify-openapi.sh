#!/usr/bin/env bash
# Fails when the committed OpenAPI definitions are not what update-openapi.sh would write.
set -o errexit -o nounset -o pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

fresh=$(mktemp -d)
trap 'rm -rf "${fresh}"' EXIT
hack/update-openapi.sh "${fresh}"
if ! diff -u internal/imageapi/openapi/zz_generated.openapi.go "${fresh}/zz_generated.openapi.go" >"${fresh}/diff"; then
  head -40 "${fresh}/diff"
  echo "internal/imageapi/openapi is stale: run hack/update-openapi.sh" >&2
  exit 1
fi
