package logging_test

import (
	"log/slog"
	"strings"
	"testing"

	"go.opentelemetry.io/otel/trace"

	"roster/internal/logging"
	"roster/internal/requestid"
)

func TestHandler(t *testing.T) {
	t.Parallel()
	ids := trace.SpanContextConfig{TraceID: trace.TraceID{1}}
	none := t.Context()
	request := requestid.WithContext(none, "request-1")
	began := trace.ContextWithSpanContext(request, trace.NewSpanContext(ids))
	ids.SpanID = trace.SpanID{2}
	running := trace.ContextWithSpanContext(request, trace.NewSpanContext(ids))
	remote := trace.ContextWithRemoteSpanContext(request, trace.NewSpanContext(ids))
	var log strings.Builder
	logger := slog.New(logging.NewHandler(slog.NewTextHandler(&log, &slog.HandlerOptions{
		ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey || a.Key == slog.LevelKey {
				return slog.Attr{}
			}
			return a
		},
	}))).With("a", 1)
	logger.InfoContext(none, "none", "b", 2)
	logger.InfoContext(request, "request")
	logger.InfoContext(began, "began")
	logger.InfoContext(running, "running")
	logger.InfoContext(remote, "remote")
	logger.Info("without a context")
	const traceID = " traceId=01000000000000000000000000000000"
	want := "msg=none a=1 b=2\n" +
		"msg=request a=1 requestId=request-1\n" +
		"msg=began a=1 requestId=request-1" + traceID + "\n" +
		"msg=running a=1 requestId=request-1" + traceID + " spanId=0200000000000000\n" +
		"msg=remote a=1 requestId=request-1" + traceID + "\n" +
		"msg=\"without a context\" a=1\n"
	if log.String() != want {
		t.Errorf("got\n%s\nwant\n%s", &log, want)
	}
}
