package e2e

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	traces "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"roster/e2e/program"
	"roster/internal/dbtest"
)

// collected is a collector of OTLP over HTTP, with the spans that it got.
type collected struct {
	url string

	mu       sync.Mutex
	spans    []*traces.Span
	resource []*common.KeyValue
}

func newCollector(t *testing.T) *collected {
	t.Helper()
	c := new(collected)
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		var request collector.ExportTraceServiceRequest
		if err == nil {
			err = proto.Unmarshal(body, &request)
		}
		if err != nil || r.URL.Path != "/v1/traces" || r.Header.Get("Content-Type") != "application/x-protobuf" {
			http.Error(w, "this is no trace", http.StatusBadRequest)
			return
		}
		c.add(&request)
		w.Header().Set("Content-Type", "application/x-protobuf")
	}))
	t.Cleanup(web.Close)
	c.url = web.URL
	return c
}

func (c *collected) add(request *collector.ExportTraceServiceRequest) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, of := range request.GetResourceSpans() {
		c.resource = of.GetResource().GetAttributes()
		for _, scope := range of.GetScopeSpans() {
			c.spans = append(c.spans, scope.GetSpans()...)
		}
	}
}

// trace waits for the operation of a trace, which comes after its statements, and returns all spans of the trace.
func (c *collected) trace(t *testing.T, id string) (operation *traces.Span, others []*traces.Span) {
	t.Helper()
	for ctx := deadline(t); ; wait(ctx, t, "no span of an operation has come") {
		c.mu.Lock()
		operation, others = nil, nil
		for _, s := range c.spans {
			switch {
			case hex.EncodeToString(s.GetTraceId()) != id:
			case s.GetKind() == traces.Span_SPAN_KIND_SERVER:
				operation = s
			default:
				others = append(others, s)
			}
		}
		c.mu.Unlock()
		if operation != nil {
			return operation, others
		}
	}
}

// deadline returns a context for a condition that must come true.
func deadline(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// wait waits a moment, until ctx ends.
func wait(ctx context.Context, t *testing.T, missing string) {
	t.Helper()
	select {
	case <-time.After(10 * time.Millisecond):
	case <-ctx.Done():
		t.Fatal(missing)
	}
}

func valueOf(list []*common.KeyValue, name string) string {
	for _, a := range list {
		if a.GetKey() == name {
			return a.GetValue().GetStringValue()
		}
	}
	return ""
}

// askWith sends an operation with headers and returns the answer.
func (p *process) askWith(t *testing.T, body string, headers ...string) (http.Header, string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, p.URL+"/graphql", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	for i := 0; i < len(headers); i += 2 {
		request.Header.Set(headers[i], headers[i+1])
	}
	return exchange(t, request)
}

// TestTracing starts the program with the variables of OpenTelemetry.
func TestTracing(t *testing.T) {
	t.Parallel()
	binary := build(t)
	for name, test := range map[string]func(*testing.T, string){
		"spans": traced, "a sampler that samples nothing": unsampled, "a collector that does not answer": withoutCollector, "wrong settings": wrongTracing,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, binary)
		})
	}
}

// traced sends operations to the program, and reads their traces in a collector, their comments on the way to the database,
// and their lines in the log. Everything is slow for this server.
func traced(t *testing.T, binary string) {
	t.Helper()
	dbtest.Each(t, func(t *testing.T, e dbtest.Engine) {
		c := newCollector(t)
		database := dbtest.Empty(t, e)
		var wire program.Transcript
		if e != dbtest.SQLite {
			var proxy *dbtest.Proxy
			database, proxy = dbtest.ProxyURL(t, database)
			proxy.LoseAnswers(func(request []byte) bool {
				_, _ = wire.Write(request)
				return false
			})
		}
		p := startIn(t, []string{
			"OTEL_EXPORTER_OTLP_ENDPOINT=" + c.url, "OTEL_BSP_SCHEDULE_DELAY=20", "OTEL_SERVICE_NAME=people",
			"OTEL_RESOURCE_ATTRIBUTES=deployment.environment.name=test",
		}, binary, database, displayName(t, e, database), "--trace-documents", "--trace-sql-comments", "--log-level=debug", "--slow-operation=1ns", "--slow-statement=1ns")
		const parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
		const trace = "0af7651916cd43dd8448eb211c80319c"
		_, answer := p.askWith(t, `{"query":"mutation Make { createUser(input: {username: \"secretive\", email: \"secretive@example.com\"}) { user { id } } }"}`,
			"traceparent", parent, "tracestate", "vendor=1", "X-Request-Id", "request-1")
		if !strings.Contains(answer, `"user_`) {
			t.Fatalf("got %s, want a user", answer)
		}
		operation, statements := c.trace(t, trace)
		if operation.GetName() != "mutation" || hex.EncodeToString(operation.GetParentSpanId()) != "b7ad6b7169203331" || operation.GetTraceState() != "vendor=1" ||
			valueOf(operation.GetAttributes(), "graphql.operation.name") != "Make" ||
			valueOf(operation.GetAttributes(), "graphql.document") != "mutation Make { createUser(input: {username: ? email: ?}) { user { id } } }" {
			t.Errorf("got %v, want the span of the mutation", operation)
		}
		system := map[dbtest.Engine]string{dbtest.SQLite: "sqlite", dbtest.PostgreSQL: "postgresql", dbtest.MySQL: "mysql"}[e]
		for _, s := range statements {
			text := valueOf(s.GetAttributes(), "db.query.text")
			if !bytes.Equal(s.GetParentSpanId(), operation.GetSpanId()) || valueOf(s.GetAttributes(), "db.system.name") != system ||
				text == "" || strings.Contains(text, "traceparent") || valueOf(s.GetAttributes(), "db.query.summary") != s.GetName() ||
				s.GetStartTimeUnixNano() < operation.GetStartTimeUnixNano() || s.GetEndTimeUnixNano() > operation.GetEndTimeUnixNano() {
				t.Errorf("got %v, want a statement of the operation", s)
			}
		}
		if len(statements) < 1 || statements[0].GetName() != "INSERT users" {
			t.Errorf("got %v, want INSERT users first", statements)
		}
		if valueOf(c.resource, "service.name") != "people" || valueOf(c.resource, "service.version") != "1.2.3" || valueOf(c.resource, "deployment.environment.name") != "test" {
			t.Errorf("got the resource %v, want people of version 1.2.3 in test", c.resource)
		}
		comment := "/*traceparent='00-" + trace + "-" + hex.EncodeToString(operation.GetSpanId()) + "-01'*/"
		if e != dbtest.SQLite && !strings.Contains(wire.String(), " "+comment) {
			t.Errorf("got no comment %s on the way to the database", comment)
		}

		// A request without a trace begins one. Its lines in the log name it.
		_, answer = p.askWith(t, `{"query":"{ users(where: {username: {eq: \"secretive\"}}) { totalCount } }"}`, "X-Request-Id", "request-2")
		if answer != `{"data":{"users":{"totalCount":1}}}` {
			t.Errorf("got %s, want one user", answer)
		}
		p.stop(t, syscall.SIGTERM)
		log := p.Log.String()
		for _, want := range []string{
			`msg="slow operation" type=mutation name=Make hash=[0-9a-f]{64} .*document="mutation Make [^\n]*" requestId=request-1 traceId=` + trace + ` spanId=` + hex.EncodeToString(operation.GetSpanId()) + `\n`,
			`msg="slow statement" [^\n]*INSERT INTO [^\n]* requestId=request-1 traceId=` + trace + ` spanId=`,
			`msg=answered [^\n]* requestId=request-1 traceId=` + trace + `\n`,
		} {
			if !regexp.MustCompile(want).MatchString(log) {
				t.Errorf("got the log\n%s\nwant %s", log, want)
			}
		}
		own := regexp.MustCompile(`msg="slow operation" type=query [^\n]* requestId=request-2 traceId=([0-9a-f]{32}) spanId=`).FindStringSubmatch(log)
		if own == nil || own[1] == trace || !regexp.MustCompile(`msg=answered [^\n]* requestId=request-2 traceId=`+own[1]+`\n`).MatchString(log) {
			t.Fatalf("got the log\n%s\nwant another trace for the query", log)
		}
		operation, _ = c.trace(t, own[1])
		if operation.GetName() != "query" || len(operation.GetParentSpanId()) != 0 {
			t.Errorf("got %v, want the span of a query without a parent", operation)
		}
		for line := range strings.SplitSeq(log, "\n") {
			if strings.Count(line, "requestId=") > 1 || strings.Contains(line, "secretive") {
				t.Errorf("got %s, want the ID once and no value", line)
			}
		}
		if sent := operation.String() + statementsText(c); strings.Contains(sent, "secretive") {
			t.Errorf("got a value in %s", sent)
		}
	})
}

// statementsText returns all spans of a collector as a text.
func statementsText(c *collected) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var b strings.Builder
	for _, s := range c.spans {
		b.WriteString(s.String())
	}
	return b.String()
}

// unsampled has a sampler that samples nothing. No client can change that, and no statement has a comment.
func unsampled(t *testing.T, binary string) {
	t.Helper()
	c := newCollector(t)
	database, proxy := dbtest.ProxyURL(t, dbtest.Empty(t, dbtest.PostgreSQL))
	var wire program.Transcript
	proxy.LoseAnswers(func(request []byte) bool {
		_, _ = wire.Write(request)
		return false
	})
	p := startIn(t, []string{
		"OTEL_EXPORTER_OTLP_ENDPOINT=" + c.url, "OTEL_BSP_SCHEDULE_DELAY=20", "OTEL_TRACES_SAMPLER=parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG=0",
	}, binary, database, displayName(t, dbtest.PostgreSQL, database), "--trace-sql-comments")
	if _, answer := p.askWith(t, `{"query":"{ users { totalCount } }"}`, "traceparent", "00-00000000000000010000000000000001-00000000000000aa-01"); answer != `{"data":{"users":{"totalCount":0}}}` {
		t.Errorf("got %s, want no users", answer)
	}
	p.stop(t, syscall.SIGTERM)
	if sent := statementsText(c); sent != "" || strings.Contains(wire.String(), "traceparent") {
		t.Errorf("got the spans %q, and comments: %t, want none", sent, strings.Contains(wire.String(), "traceparent"))
	}
}

// withoutCollector has a collector that accepts connections and never answers, and one that is not there. Operations are
// answered, the server stops, and the log has one line.
func withoutCollector(t *testing.T, binary string) {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	hanging := make(chan net.Conn, 100)
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			hanging <- conn // it stays open, and nobody reads
		}
	}()
	gone, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nowhere := gone.Addr().String()
	_ = gone.Close()
	for name, address := range map[string]string{"hangs": listener.Addr().String(), "is not there": nowhere} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			database := dbtest.Empty(t, dbtest.SQLite)
			p := startIn(t, []string{"OTEL_EXPORTER_OTLP_ENDPOINT=http://" + address, "OTEL_BSP_SCHEDULE_DELAY=1", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE=1", "OTEL_BSP_MAX_QUEUE_SIZE=10"},
				binary, database, displayName(t, dbtest.SQLite, database))
			for range 200 { // more spans than fit into the queue
				if got := p.ask(t, "{ users { totalCount } }"); got != `{"data":{"users":{"totalCount":0}}}` {
					t.Fatalf("got %s, want no users", got)
				}
			}
			if name == "hangs" {
				conn := <-hanging // the server is in the middle of an export
				defer conn.Close()
			} else {
				for ctx := deadline(t); !strings.Contains(p.Log.String(), "traces are lost"); {
					wait(ctx, t, "no line about the collector in the log")
				}
				for range 20 {
					p.ask(t, "{ users { totalCount } }")
				}
			}
			p.stop(t, syscall.SIGTERM)
			if n := strings.Count(p.Log.String(), "traces are lost"); n > 1 || strings.Count(p.Log.String(), "level=WARN") > n+1 {
				t.Errorf("got the log\n%s\nwant at most one line about lost traces, and one about the last ones", p.Log)
			}
		})
	}
}

// wrongTracing starts the server with wrong settings.
func wrongTracing(t *testing.T, binary string) {
	t.Helper()
	for variable, says := range map[string]string{
		"OTEL_EXPORTER_OTLP_ENDPOINT=localhost:4317": "roster: OTEL_EXPORTER_OTLP_ENDPOINT must be an address such as http://localhost:4318",
		"OTEL_TRACES_EXPORTER=jaeger":                `roster: OTEL_TRACES_EXPORTER must be otlp or none, not "jaeger"`,
		"ROSTER_SLOW_TRACES=/dev/null/x":             "roster: --slow-traces: no file can be written into /dev/null/x: not a directory",
		"ROSTER_SLOW_OPERATION=-1s":                  "--slow-operation must be 0s or longer, not -1s",
	} {
		cmd := exec.CommandContext(deadline(t), binary, "serve", "--listen=127.0.0.1:0")
		cmd.Env = append(os.Environ(), variable, "DATABASE_URL="+dbtest.Empty(t, dbtest.SQLite))
		out, err := cmd.CombinedOutput()
		exit, ok := errors.AsType[*exec.ExitError](err)
		if !ok || exit.ExitCode() < 1 || !strings.Contains(string(out), says) {
			t.Errorf("%s: got %v, %s, want %s", variable, err, out, says)
		}
	}
}
