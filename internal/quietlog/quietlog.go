// Package quietlog keeps out of the log what Kubernetes' libraries say when all is well:
// about 190 lines of a start and a stop, some of them warnings and errors, hid the dozen
// that are for an operator.
package quietlog

import (
	"bytes"
	"io"
	"runtime"
	"strings"
)

// ours begins the names of functions whose lines are all written.
const ours = "weir.dev/weir/"

// writers begin the names of functions that carry a line from where it is written to here.
var writers = []string{
	"k8s.io/klog/v2.", "k8s.io/klog/v2/", "github.com/go-logr/", "fmt.", "io.", "sync.", ours + "internal/quietlog.",
	"k8s.io/apimachinery/pkg/util/runtime.",
}

// expected are the texts of warnings and errors of libraries that an orderly start or stop
// writes.
var expected = [][]byte{
	[]byte("setting componentGlobalsRegistry in SetFallback"),
	[]byte("because it has no resources"),
	[]byte("The manifest file is empty, ignoring"),
	[]byte("Failed to ensure lease exists, will retry"), // its namespace is made a moment later
	[]byte(`Error while syncing ConfigMap`),             // the same
	[]byte("Unable to remove peer endpoint leases"),     // there is one server, and none was made
}

// Writer is a writer for klog's loggers that passes on what is worth it. Lines that are not
// klog's text, such as JSON, are all passed on.
func Writer(out io.Writer) io.Writer { return &filter{out: out, function: caller} }

// filter writes lines that are worth it. klog writes a line at a time, in the goroutine that
// logs it.
type filter struct {
	out      io.Writer
	function func() string // that which logs, with its package
}

// Write implements io.Writer.
func (f *filter) Write(line []byte) (int, error) {
	if !keep(line, f.function) {
		return len(line), nil
	}
	return f.out.Write(line)
}

func keep(line []byte, function func() string) bool {
	if len(line) == 0 {
		return false
	}
	for _, text := range expected {
		if (line[0] == 'W' || line[0] == 'E') && bytes.Contains(line, text) {
			return false
		}
	}
	return line[0] != 'I' || strings.HasPrefix(function(), ours)
}

// caller is the function that logs.
func caller() string {
	counters := make([]uintptr, 32)
	frames := runtime.CallersFrames(counters[:runtime.Callers(2, counters)])
	for {
		frame, more := frames.Next()
		if frame.Function != "" && !carries(frame.Function) {
			return frame.Function
		}
		if !more {
			return ""
		}
	}
}

func carries(function string) bool {
	for _, prefix := range writers {
		if strings.HasPrefix(function, prefix) {
			return true
		}
	}
	return false
}
