// Command weir serves image streams: the API group image.openshift.io/v1 with
// everything around it that it needs. See `weir help`.
package main

import (
	"os"

	"k8s.io/component-base/cli"
)

func main() {
	os.Exit(cli.Run(newCommand()))
}
