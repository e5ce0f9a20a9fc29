// Package accesslog provides the access log of the registry: a line for each request, as
// key=value pairs or as JSON, in a file that is rotated.
package accesslog

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"time"

	"golang.org/x/time/rate"
	"gopkg.in/natefinch/lumberjack.v2"
	"k8s.io/klog/v2"

	"weir.dev/weir/internal/ociregistry"
)

// Formats of the lines.
const (
	FormatText = "text" // key=value, as log/slog writes it
	FormatJSON = "json" // an object a line
)

// Stdout is the path of the standard output.
const Stdout = "-"

// Options configure the log.
type Options struct {
	// Path is a file, which is created if missing and appended to, or Stdout.
	Path string
	// Format is FormatText or FormatJSON.
	Format string
	// MaxSize is the size in megabytes at which the file is rotated; 0 means 100. MaxBackups is
	// the number of rotated files to keep and MaxAge the number of days to keep them; 0 means
	// no limit.
	MaxSize, MaxBackups, MaxAge int
}

// Log is an access log. It is safe for concurrent use.
type Log struct {
	handler slog.Handler
	file    io.Closer
	// complaints limits the server's log messages about lost lines.
	complaints *rate.Sometimes
}

var _ ociregistry.AccessLog = (*Log)(nil)

// New opens the log.
func New(o Options) (*Log, error) {
	l := &Log{complaints: &rate.Sometimes{Interval: time.Minute}}
	var to io.Writer = os.Stdout
	if o.Path != Stdout {
		if err := writable(o.Path); err != nil {
			return nil, fmt.Errorf("opening the registry's access log %s: %w", o.Path, err)
		}
		file := &lumberjack.Logger{Filename: o.Path, MaxSize: o.MaxSize, MaxBackups: o.MaxBackups, MaxAge: o.MaxAge}
		to, l.file = file, file
	}
	options := &slog.HandlerOptions{ReplaceAttr: plain}
	switch o.Format {
	case FormatText:
		l.handler = slog.NewTextHandler(to, options)
	case FormatJSON:
		l.handler = slog.NewJSONHandler(to, options)
	default:
		return nil, fmt.Errorf("unknown format %q for the registry's access log: choose %s or %s", o.Format, FormatText, FormatJSON)
	}
	return l, nil
}

// writable creates the file if it does not exist, readable only by its owner: it contains user
// names and addresses.
func writable(path string) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	return f.Close()
}

// plain drops attributes that are the same in every line, and writes times in UTC.
func plain(groups []string, a slog.Attr) slog.Attr {
	switch {
	case len(groups) > 0:
	case a.Key == slog.LevelKey, a.Key == slog.MessageKey:
		return slog.Attr{}
	case a.Key == slog.TimeKey:
		return slog.String(slog.TimeKey, a.Value.Time().UTC().Format("2006-01-02T15:04:05.000Z07:00"))
	}
	return a
}

// Write adds a line.
func (l *Log) Write(e ociregistry.AccessEntry) {
	line := slog.NewRecord(e.Time, slog.LevelInfo, "", 0)
	line.AddAttrs(
		slog.String("request", e.Request),
		slog.String("user", e.User),
		slog.String("client", e.Client),
		slog.String("method", e.Method),
		slog.String("route", e.Route),
		slog.String("repository", e.Repository),
		slog.String("reference", e.Reference),
		slog.String("digest", e.Digest),
		slog.Int("status", e.Status),
		slog.Int64("received", e.Received),
		slog.Int64("sent", e.Sent),
		slog.Float64("seconds", e.Duration.Seconds()),
	)
	if err := l.handler.Handle(context.Background(), line); err != nil {
		l.complaints.Do(func() { klog.ErrorS(err, "Writing the registry's access log failed; lines are lost") })
	}
}

// Close closes the file.
func (l *Log) Close() error {
	if l.file == nil {
		return nil
	}
	return l.file.Close()
}
