package standalone

import (
	"k8s.io/klog/v2"

	"weir.dev/weir/internal/inbound"
)

// connections is how many connections of clients each listener may have, by the limit of open
// files. A low limit is reported.
func (o *Options) connections() (perListener int, err error) {
	files, err := inbound.Files()
	if err != nil {
		return 0, err
	}
	listeners := 1
	if o.Registry.Enabled {
		listeners = 2
	}
	perListener = inbound.PerListener(files, listeners)
	if files < inbound.EnoughFiles {
		klog.InfoS("The limit of open files is low (ulimit -Hn, LimitNOFILE of systemd): each listener accepts few connections",
			"limit", files, "connections", perListener, "enough", inbound.EnoughFiles)
	}
	return perListener, nil
}
