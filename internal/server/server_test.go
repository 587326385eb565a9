package server_test

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"roster/internal/logging"
	"roster/internal/requestid"
	"roster/internal/server"
	"roster/internal/server/streamtest"
)

const (
	typeJSON     = "application/json"
	typeResponse = "application/graphql-response+json"
)

func testOptions() server.Options {
	return server.Options{
		Executor:      newTestExecutor(),
		Authenticator: streamtest.NewAuthenticator(),
		Playground:    http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = w.Write([]byte(r.URL.Path)) }),
		Ready:         func(context.Context, bool) error { return nil },
		SDL:           testSDL,
		Logger:        slog.New(slog.DiscardHandler),
		Clock:         func() time.Time { return time.Unix(1, 0) },
		NewRequestID:  func() string { return "made-here" },
		MaxBodyBytes:  1000,
		Streams:       server.NewStreams(server.StreamOptions{MaxStreams: 1}),
	}
}

// request is one request and what it must be answered with.
type request struct {
	method  string // POST when empty
	target  string // /graphql when empty
	headers map[string]string
	body    string

	status  int // 200 when zero
	answer  string
	code    string            // of the only error, instead of answer
	answers map[string]string // headers; of the right media type anyway
}

func (r request) send(t *testing.T, handler http.Handler) *httptest.ResponseRecorder {
	t.Helper()
	method, target := r.method, r.target
	if method == "" {
		method = http.MethodPost
	}
	if target == "" {
		target = "/graphql"
	}
	hr := httptest.NewRequestWithContext(t.Context(), method, target, strings.NewReader(r.body))
	if method == http.MethodPost {
		hr.Header.Set("Content-Type", typeJSON)
	}
	for name, value := range r.headers {
		hr.Header.Set(name, value)
	}
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, hr)
	return w
}

func (r request) check(t *testing.T, w *httptest.ResponseRecorder) {
	t.Helper()
	status := r.status
	if status == 0 {
		status = http.StatusOK
	}
	if w.Code != status {
		t.Errorf("status %d, want %d", w.Code, status)
	}
	if r.code == "" {
		if got := w.Body.String(); got != r.answer {
			t.Errorf("answer\n%s, want\n%s", got, r.answer)
		}
	} else if got := onlyCode(w.Body.Bytes()); got != r.code {
		t.Errorf("code %q, want %q in %s", got, r.code, w.Body)
	}
	for name, value := range r.answers {
		if got := w.Header().Get(name); got != value {
			t.Errorf("%s: %q, want %q", name, got, value)
		}
	}
}

// onlyCode returns the code of an answer that has one error and nothing else, or "".
func onlyCode(body []byte) string {
	var answer map[string][]struct {
		Message    string
		Extensions struct{ Code string }
	}
	if json.Unmarshal(body, &answer) != nil || len(answer) != 1 || len(answer["errors"]) != 1 || answer["errors"][0].Message == "" {
		return ""
	}
	return answer["errors"][0].Extensions.Code
}

func get(params ...string) string {
	values := url.Values{}
	for pair := range slices.Chunk(params, 2) {
		values.Add(pair[0], pair[1])
	}
	return "/graphql?" + values.Encode()
}

func TestAnswers(t *testing.T) {
	t.Parallel()
	const ask = `{"query":"{ echo(text: \"hi\") }"}`
	handler := server.New(testOptions())
	for name, r := range map[string]request{
		"POST": {
			body: ask, answer: `{"data":{"echo":"hi"}}`,
			answers: map[string]string{
				"Content-Type": typeJSON + "; charset=utf-8", "Content-Length": "22",
				"Vary": "Accept, Accept-Encoding, Authorization", "Cache-Control": "no-store",
			},
		},
		"POST with a charset": {
			headers: map[string]string{"Content-Type": "Application/JSON; charset=UTF-8"},
			body:    ask, answer: `{"data":{"echo":"hi"}}`,
		},
		"POST with a charset in quotes": {
			headers: map[string]string{"Content-Type": `application/json;charset="Utf-8"`},
			body:    ask, answer: `{"data":{"echo":"hi"}}`,
		},
		"POST with the other name of UTF-8": {
			headers: map[string]string{"Content-Type": "application/json; charset=UTF8", "Accept": "application/json; charset=utf8"},
			body:    ask, answer: `{"data":{"echo":"hi"}}`,
		},
		"POST with a byte order mark": {body: "\ufeff" + ask, answer: `{"data":{"echo":"hi"}}`},
		"POST for the newer media type": {
			headers: map[string]string{"Accept": typeResponse + ", " + typeJSON + ";q=0.9"},
			body:    ask, answer: `{"data":{"echo":"hi"}}`,
			answers: map[string]string{"Content-Type": typeResponse + "; charset=utf-8"},
		},
		"POST with everything": {
			body: `{"query":"query A { echo } query B($t: String!) { b: echo(text: $t) }", "operationName":"B",
				"variables":{"t":"ä\u00e4\ud83d\ude00"},"extensions":{"x":[1]},"unknown":{"a":1}}`,
			answer: `{"data":{"b":"ää😀"}}`,
		},
		"POST with nulls": {
			body:   `{"query":"{ echo }","operationName":null,"variables":null,"extensions":null}`,
			answer: `{"data":{"echo":null}}`,
		},
		"POST of a mutation": {
			body: `{"query":"mutation { echo(text: \"m\") }"}`, answer: `{"data":{"echo":"m"}}`,
		},
		"GET": {
			method: http.MethodGet,
			target: get("query", "query A{echo} query B($t: String){echo(text: $t)}", "operationName", "B",
				"variables", `{"t":"x"}`, "extensions", `{"a":{}}`, "unknown", "1", "unknown", "2"),
			answer: `{"data":{"echo":"x"}}`,
		},
		"GET with semicolons": {
			method: http.MethodGet,
			target: "/graphql?x=;&query={echo(text:%22a;b%3Bc%22)}&;y;=1",
			answer: `{"data":{"echo":"a;b;c"}}`,
		},
		"GET with nulls": {
			method: http.MethodGet,
			target: get("query", "{echo}", "variables", "null", "extensions", "null"),
			answer: `{"data":{"echo":null}}`,
		},
		"GET with empty parameters": {
			method: http.MethodGet,
			target: get("query", "{echo}", "operationName", "", "variables", "", "extensions", ""),
			answer: `{"data":{"echo":null}}`,
		},
		"a failed field": {
			body:   `{"query":"{ fails }"}`,
			answer: `{"errors":[{"message":"no","extensions":{"code":"NOT_FOUND"}}],"data":{"fails":null}}`,
		},
		"a failed field for the newer media type": {
			headers: map[string]string{"Accept": typeResponse},
			body:    `{"query":"{ fails }"}`,
			answer:  `{"errors":[{"message":"no","extensions":{"code":"NOT_FOUND"}}],"data":{"fails":null}}`,
		},
		"a syntax error": {body: `{"query":"{"}`, code: "GRAPHQL_PARSE_FAILED"},
		"a syntax error for the newer media type": {
			headers: map[string]string{"Accept": typeResponse},
			body:    `{"query":"{"}`, status: http.StatusBadRequest, code: "GRAPHQL_PARSE_FAILED",
			answers: map[string]string{"Content-Type": typeResponse + "; charset=utf-8"},
		},
		"an unknown field": {body: `{"query":"{ nothing }"}`, code: "GRAPHQL_VALIDATION_FAILED"},
		"an unknown field for the newer media type": {
			headers: map[string]string{"Accept": typeResponse},
			body:    `{"query":"{ nothing }"}`, status: http.StatusBadRequest, code: "GRAPHQL_VALIDATION_FAILED",
		},
		"an unknown operation": {
			headers: map[string]string{"Accept": typeResponse},
			body:    `{"query":"query A { echo }","operationName":"B"}`,
			status:  http.StatusBadRequest, code: "GRAPHQL_VALIDATION_FAILED",
		},
		"a wrong variable": {
			headers: map[string]string{"Accept": typeResponse},
			body:    `{"query":"query($t: String!) { echo(text: $t) }","variables":{"t":null}}`,
			status:  http.StatusBadRequest, code: "GRAPHQL_VALIDATION_FAILED",
		},
		"an operation that was not executed": {
			headers: map[string]string{"Accept": typeResponse},
			body:    `{"query":"{ refused }"}`,
			status:  http.StatusBadRequest, answer: `{"errors":[{"message":"not executed"}]}`,
		},
		"an operation that the executor takes for malformed": {
			body: `{"query":"{ malformed }"}`, status: http.StatusBadRequest, code: "BAD_REQUEST",
		},
		"the schema": {
			method: http.MethodGet, target: "/schema.graphql", answer: testSDL,
			answers: map[string]string{"Content-Type": "text/plain; charset=utf-8"},
		},
		"alive": {method: http.MethodGet, target: "/healthz", answer: `{"status":"ok"}`},
		"ready": {method: http.MethodGet, target: "/readyz", answer: `{"status":"ready"}`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r.check(t, r.send(t, handler))
		})
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	const bad = http.StatusBadRequest
	contentType := func(value string) map[string]string { return map[string]string{"Content-Type": value} }
	allow := func(value string) map[string]string { return map[string]string{"Allow": value} }
	handler := server.New(testOptions())
	for name, r := range map[string]request{
		"no body":                           {status: bad},
		"broken JSON":                       {body: `{"query":"{ echo }"`, status: bad},
		"a list":                            {body: `[{"query":"{ echo }"}]`, status: bad},
		"two objects":                       {body: `{"query":"{ echo }"}{}`, status: bad},
		"a doubled key":                     {body: `{"query":"{ echo }","query":"{ fails }"}`, status: bad},
		"a key in another case":             {body: `{"query":"{ echo }","Query":"{ fails }"}`, status: bad},
		"a key with another letter":         {body: `{"query":"{ echo }","exten\u017fions":{}}`, status: bad},
		"a lone surrogate":                  {body: `{"query":"{ echo(text: \"\ud800\") }"}`, status: bad},
		"broken UTF-8":                      {body: "{\"query\":\"{ echo(text: \\\"\xff\\\") }\"}", status: bad},
		"too deep":                          {body: `{"variables":` + strings.Repeat(`[`, 300), status: bad},
		"no query":                          {body: `{"variables":{}}`, status: bad},
		"an empty query":                    {body: `{"query":""}`, status: bad},
		"a null query":                      {body: `{"query":null}`, status: bad},
		"a query of another type":           {body: `{"query":["{ echo }"]}`, status: bad},
		"an operation name of another type": {body: `{"query":"{ echo }","operationName":1}`, status: bad},
		"variables of another type":         {body: `{"query":"{ echo }","variables":[]}`, status: bad},
		"variables as a string":             {body: `{"query":"{ echo }","variables":"{}"}`, status: bad},
		"extensions of another type":        {body: `{"query":"{ echo }","extensions":"x"}`, status: bad},
		"a subscription":                    {body: `{"query":"subscription { echo }"}`, status: http.StatusNotAcceptable},

		"GET without a query":      {method: http.MethodGet, status: bad},
		"GET with a doubled query": {method: http.MethodGet, target: get("query", "{echo}", "query", "{fails}"), status: bad},
		"GET in another case":      {method: http.MethodGet, target: get("query", "{echo}", "Variables", "{}"), status: bad},
		"GET with broken escapes":  {method: http.MethodGet, target: "/graphql?query=%zz", status: bad},
		"GET with broken UTF-8":    {method: http.MethodGet, target: "/graphql?query=%ff", status: bad},
		"GET with broken JSON":     {method: http.MethodGet, target: get("query", "{echo}", "variables", "{"), status: bad},
		"GET with a list":          {method: http.MethodGet, target: get("query", "{echo}", "extensions", "[]"), status: bad},
		"GET of a mutation": {
			method: http.MethodGet, target: get("query", "mutation{echo}"),
			status: http.StatusMethodNotAllowed, answers: allow("POST"),
		},
		"GET of the mutation by its name": {
			method: http.MethodGet, target: get("query", "query A{echo} mutation B{echo}", "operationName", "B"),
			status: http.StatusMethodNotAllowed, answers: allow("POST"),
		},
		"HEAD of a mutation": {
			method: http.MethodHead, target: get("query", "mutation{echo}"),
			status: http.StatusMethodNotAllowed, answers: allow("POST"),
		},

		"no content type":      {headers: contentType(""), body: `{}`, status: http.StatusUnsupportedMediaType},
		"a simple type":        {headers: contentType("text/plain"), body: `{"query":"{ echo }"}`, status: http.StatusUnsupportedMediaType},
		"a form":               {headers: contentType("application/x-www-form-urlencoded"), body: `query=x`, status: http.StatusUnsupportedMediaType},
		"another charset":      {headers: contentType("application/json; charset=utf-16"), body: `{}`, status: http.StatusUnsupportedMediaType},
		"a broken type":        {headers: contentType("application/json; ="), body: `{}`, status: http.StatusUnsupportedMediaType},
		"a compressed body":    {headers: map[string]string{"Content-Encoding": "gzip"}, status: http.StatusUnsupportedMediaType},
		"a body over the size": {body: `{"query":"` + strings.Repeat(" ", 1000) + `"}`, status: http.StatusRequestEntityTooLarge},
		"nothing acceptable":   {headers: map[string]string{"Accept": "text/html"}, body: `{"query":"{ echo }"}`, status: http.StatusNotAcceptable},
		"PUT":                  {method: http.MethodPut, status: http.StatusMethodNotAllowed, answers: allow("GET, HEAD, POST")},
		"DELETE":               {method: http.MethodDelete, status: http.StatusMethodNotAllowed, answers: allow("GET, HEAD, POST")},
		"OPTIONS":              {method: http.MethodOptions, status: http.StatusMethodNotAllowed, answers: allow("GET, HEAD, POST")},
		"POST of the schema":   {target: "/schema.graphql", status: http.StatusMethodNotAllowed, answers: allow("GET, HEAD")},
		"POST of the page":     {target: "/", status: http.StatusMethodNotAllowed, answers: allow("GET, HEAD")},
		"another address":      {method: http.MethodGet, target: "/nothing", status: http.StatusNotFound},
		"below the endpoint":   {target: "/graphql/x", status: http.StatusNotFound},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r.code = "BAD_REQUEST"
			r.check(t, r.send(t, handler))
		})
	}
}

func TestRefusalKeepsTheMediaType(t *testing.T) {
	t.Parallel()
	r := request{
		headers: map[string]string{"Accept": typeResponse}, body: `{`,
		status: http.StatusBadRequest, code: "BAD_REQUEST",
		answers: map[string]string{"Content-Type": typeResponse + "; charset=utf-8"},
	}
	r.check(t, r.send(t, server.New(testOptions())))
}

func TestBodyOfUnknownLengthIsBounded(t *testing.T) {
	t.Parallel()
	body := io.MultiReader(strings.NewReader(`{"query":"`), strings.NewReader(strings.Repeat("a", 10_000)))
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/graphql", body)
	r.Header.Set("Content-Type", typeJSON)
	w := httptest.NewRecorder()
	server.New(testOptions()).ServeHTTP(w, r)
	request{status: http.StatusRequestEntityTooLarge, code: "BAD_REQUEST"}.check(t, w)
}

func TestGzip(t *testing.T) {
	t.Parallel()
	handler := server.New(testOptions())
	plain := request{body: `{"query":"{ length }"}`}.send(t, handler)
	if plain.Header().Get("Content-Encoding") != "" {
		t.Fatal("without Accept-Encoding: got a compressed answer, want a plain one")
	}
	small := request{body: `{"query":"{ echo }"}`, headers: map[string]string{"Accept-Encoding": "gzip"}}.send(t, handler)
	if small.Header().Get("Content-Encoding") != "" {
		t.Error("a small answer: got it compressed, want it plain")
	}
	packed := request{body: `{"query":"{ length }"}`, headers: map[string]string{"Accept-Encoding": "br, gzip"}}.send(t, handler)
	if got := packed.Header().Get("Content-Encoding"); got != "gzip" {
		t.Fatalf("Content-Encoding: %q, want gzip", got)
	}
	if packed.Body.Len() >= plain.Body.Len() {
		t.Errorf("got %d compressed bytes, want less than %d", packed.Body.Len(), plain.Body.Len())
	}
	reader, err := gzip.NewReader(packed.Body)
	if err != nil {
		t.Fatal(err)
	}
	unpacked, err := io.ReadAll(reader)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(unpacked, plain.Body.Bytes()) {
		t.Error("got another answer after decompression, want the plain one")
	}
}

func TestRequestID(t *testing.T) {
	t.Parallel()
	o := testOptions()
	var inside string
	o.Ready = func(ctx context.Context, _ bool) error { inside = requestid.FromContext(ctx); return nil }
	handler := server.New(o)
	for sent, want := range map[string]string{
		"":                       "made-here",
		"from-a_proxy.7":         "from-a_proxy.7",
		"<b>":                    "made-here",
		strings.Repeat("x", 129): "made-here",
	} {
		w := request{method: http.MethodGet, target: "/readyz", headers: map[string]string{"X-Request-Id": sent}}.send(t, handler)
		if got := w.Header().Get("X-Request-Id"); got != want || inside != want {
			t.Errorf("%q: answered %q, inside %q, want %q", sent, got, inside, want)
		}
	}
}

func TestPanic(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	o := testOptions()
	o.Logger = slog.New(logging.NewHandler(slog.NewJSONHandler(&log, nil)))
	r := request{
		body: `{"query":"{ panics }"}`, status: http.StatusInternalServerError,
		answer: `{"errors":[{"message":"internal error","extensions":{"code":"INTERNAL","requestId":"made-here"}}]}`,
	}
	r.check(t, r.send(t, server.New(o)))
	var line struct{ Level, Panic, Stack, RequestID string }
	if err := json.Unmarshal(log.Bytes(), &line); err != nil {
		t.Fatalf("got the log %s, %v, want one line", log.String(), err)
	}
	if line.Level != "ERROR" || line.Panic != "a secret" || line.RequestID != "made-here" || !strings.Contains(line.Stack, "schema_test.go") {
		t.Errorf("got the log %s, want the panic with its stack and the ID of the request", log.String())
	}
}

func TestAccessLog(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	o := testOptions()
	o.Logger = slog.New(logging.NewHandler(slog.NewTextHandler(&log, &slog.HandlerOptions{
		Level: slog.LevelDebug,
		ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		},
	})))
	now := time.Unix(1, 0)
	o.Clock = func() time.Time { now = now.Add(time.Millisecond); return now }
	request{method: http.MethodGet, target: get("query", "{echo}")}.send(t, server.New(o))
	const want = "level=DEBUG msg=answered client=192.0.2.1 method=GET path=/graphql status=200 bytes=22 duration=1ms requestId=made-here\n"
	if got := log.String(); got != want {
		t.Errorf("got  %swant %s", got, want)
	}
}

func TestNotReady(t *testing.T) {
	t.Parallel()
	o := testOptions()
	o.Ready = func(ctx context.Context, _ bool) error {
		if deadline, ok := ctx.Deadline(); !ok || time.Until(deadline) > 2*time.Second {
			t.Error("got no deadline within two seconds, want one")
		}
		return errors.New("db.example: connection refused")
	}
	handler := server.New(o)
	r := request{
		method: http.MethodGet, target: "/readyz",
		status: http.StatusServiceUnavailable, answer: `{"status":"unavailable"}`,
	}
	r.check(t, r.send(t, handler))
	alive := request{method: http.MethodGet, target: "/healthz", answer: `{"status":"ok"}`}
	alive.check(t, alive.send(t, handler))
}

func TestReadOnly(t *testing.T) {
	t.Parallel()
	o := testOptions()
	o.Ready = func(_ context.Context, reads bool) error {
		if reads {
			return nil
		}
		return fmt.Errorf("%w: a standby", server.ErrReadOnly)
	}
	handler := server.New(o)
	for _, r := range []request{
		{target: "/readyz", status: http.StatusServiceUnavailable, answer: `{"status":"read only"}`},
		{target: "/readyz?for=reads", answer: `{"status":"ready"}`},
		{target: "/readyz?for=writes", status: http.StatusBadRequest, code: "BAD_REQUEST"},
		{target: "/readyz?for=", status: http.StatusBadRequest, code: "BAD_REQUEST"},
	} {
		t.Run(r.target, func(t *testing.T) {
			t.Parallel()
			r.method = http.MethodGet
			r.check(t, r.send(t, handler))
		})
	}
}

func TestPlayground(t *testing.T) {
	t.Parallel()
	handler := server.New(testOptions())
	for _, path := range []string{"/", "/playground/graphiql.js"} {
		w := request{method: http.MethodGet, target: path}.send(t, handler)
		request{answer: path, answers: map[string]string{
			"Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; " +
				"base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
			"X-Content-Type-Options": "nosniff",
			"Referrer-Policy":        "no-referrer",
		}}.check(t, w)
	}
}

// TestSecurityHeaders has answers of every kind. They all have the headers.
func TestSecurityHeaders(t *testing.T) {
	t.Parallel()
	o := testOptions()
	o.LocalOnly = true
	o.Origins = []string{"https://app.test"}
	handler := server.New(o)
	for name, r := range map[string]request{
		"an answer":          {body: `{"query":"{ echo }"}`},
		"a refusal":          {body: `{`},
		"a panic":            {body: `{"query":"{ panics }"}`},
		"the playground":     {method: http.MethodGet, target: "/"},
		"the schema":         {method: http.MethodGet, target: "/schema.graphql"},
		"health":             {method: http.MethodGet, target: "/healthz"},
		"readiness":          {method: http.MethodGet, target: "/readyz"},
		"nothing":            {method: http.MethodGet, target: "/nothing"},
		"another method":     {method: http.MethodDelete, target: "/healthz"},
		"a redirect":         {method: http.MethodGet, target: "//graphql"},
		"a preflight":        {method: http.MethodOptions, headers: map[string]string{"Origin": "https://app.test", "Access-Control-Request-Method": "POST"}},
		"another host":       {target: "http://evil.example/graphql"},
		"another origin":     {method: http.MethodGet, headers: map[string]string{"Origin": "https://evil.example"}},
		"a request by proxy": {headers: map[string]string{"X-Forwarded-For": "192.0.2.1"}},
	} {
		if !strings.HasPrefix(r.target, "http:") {
			r.target = "http://localhost" + cmp.Or(r.target, "/graphql")
		}
		got := r.send(t, handler).Header()
		for header, want := range map[string]string{
			"Content-Security-Policy":      "default-src 'none'; ",
			"X-Frame-Options":              "DENY",
			"X-Content-Type-Options":       "nosniff",
			"Referrer-Policy":              "no-referrer",
			"Permissions-Policy":           "camera=(), ",
			"Cross-Origin-Opener-Policy":   "same-origin",
			"Cross-Origin-Resource-Policy": "same-origin",
			"Cache-Control":                "no-",
			"X-Request-Id":                 "made-here",
		} {
			if !strings.HasPrefix(got.Get(header), want) {
				t.Errorf("%s: got %s %q, want %q", name, header, got.Get(header), want)
			}
		}
		if got := got.Get("Strict-Transport-Security"); got != "" {
			t.Errorf("%s: got Strict-Transport-Security %q, want none without TLS", name, got)
		}
	}
}

// FuzzRequest sends a marker inside of anything: it never panics, always answers in one shape, and
// never shows the marker when the HTTP layer refuses.
func FuzzRequest(f *testing.F) {
	const marker = "MARKER7F3A"
	f.Add(`{"query":"{ echo(text: \"`, `\") }"}`)
	f.Add(`{"query":"{ echo }","variables":{"`, `":1}}`)
	f.Add(`{"`, `":`)
	f.Add(`{"query":"`, `","query":""}`)
	f.Add(`query=%7Becho%7D&variables=`, `&extensions={`)
	f.Add(`query=`, `&query=`)
	handler := server.New(testOptions())
	f.Fuzz(func(t *testing.T, before, after string) {
		text := before + marker + after
		for _, r := range []request{
			{body: text},
			{method: http.MethodGet, target: "/graphql?" + (&url.URL{Path: text}).EscapedPath()},
			{method: http.MethodGet, target: get("query", "{echo}", "variables", text)},
		} {
			w := r.send(t, handler)
			if !json.Valid(w.Body.Bytes()) {
				t.Fatalf("got %q, want JSON", w.Body)
			}
			if w.Code != http.StatusOK && strings.Contains(w.Body.String(), marker) {
				t.Fatalf("got %d, %s, want nothing that the client sent", w.Code, w.Body)
			}
			if w.Code != http.StatusOK && onlyCode(w.Body.Bytes()) != "BAD_REQUEST" {
				t.Fatalf("got %d, %s, want BAD_REQUEST", w.Code, w.Body)
			}
		}
	})
}
