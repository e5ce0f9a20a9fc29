package quietlog

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"
	"k8s.io/klog/v2/textlogger"
)

func TestKeep(t *testing.T) {
	const library, weir = "k8s.io/client-go/tools/cache.(*x).Run", ours + "internal/standalone.(*Server).Run"
	for _, test := range []struct {
		line, function string
		want           bool
	}{
		{"I1127 21:06:34.304758   13719 aggregator.go:187] initial CRD sync complete...", library, false},
		{"I1127 21:06:34.304758   13719 registry.go:187] serving", weir, true},
		{"W1127 21:06:33.267145   13719 genericapiserver.go:798] Skipping API certificates.k8s.io/v1alpha1 because it has no resources.", library, false},
		{"W1127 21:06:33.267145   13719 reflector.go:1] watch ended with an error", library, true},
		{"E1127 21:06:33.267145   13719 options.go:205] The manifest file is empty, ignoring.", library, false},
		{"E1127 21:06:33.267145   13719 controller.go:205] something failed", library, true},
		{"E1127 21:06:33.267145   13719 controller.go:205] something failed", weir, true},
		{"", weir, false},
	} {
		if got := keep([]byte(test.line), func() string { return test.function }); got != test.want {
			t.Errorf("%s of %s: %t", test.line, test.function, got)
		}
	}
}

// What a library says is not written, its warnings and errors are, through every way to log.
func TestWriter(t *testing.T) {
	defer klog.CaptureState().Restore()
	var out bytes.Buffer
	klog.SetLogger(textlogger.NewLogger(textlogger.NewConfig(textlogger.Output(Writer(&out)))))
	cache.WaitForNamedCacheSync("a-controller", make(chan struct{}), func() bool { return true }) // a library that says so
	klog.ErrorS(errors.New("broken"), "It failed")
	klog.Error("beware")
	if got := out.String(); strings.Count(got, "\n") != 2 || !strings.Contains(got, "It failed") || !strings.Contains(got, "beware") {
		t.Errorf("the log is %q", got)
	}
}
