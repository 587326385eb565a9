package server_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/99designs/gqlgen/graphql"

	"roster/internal/documents"
	"roster/internal/ratelimit"
	"roster/internal/server"
	"roster/internal/server/streamtest"
)

// priced is an Executor whose operations cost ten points.
type priced struct{ server.Executor }

func (p priced) Prepare(ctx context.Context, r documents.Request) (*documents.Operation, *graphql.Response) {
	o, response := p.Executor.Prepare(ctx, r)
	if o != nil {
		o.Cost = 10
	}
	return o, response
}

// limited gives each client a budget of 60 points, which gets a point in a second.
func limited(o *server.Options, _ *server.StreamOptions) {
	o.Executor, o.Limiter, o.MaxBodyBytes = priced{o.Executor}, ratelimit.New(60, time.Now), 20<<10
}

// wantRate fails unless an answer says that the client may try again after a number of seconds.
func wantRate(t *testing.T, name string, got answer, seconds int) {
	t.Helper()
	if got.status != http.StatusTooManyRequests || onlyCode([]byte(got.text)) != "RATE_LIMITED" ||
		got.header.Get("Retry-After") != fmt.Sprint(seconds) || !strings.Contains(got.text, fmt.Sprintf("try again in %d s", seconds)) {
		t.Errorf("%s: got %d, %s, Retry-After %q, want 429, RATE_LIMITED and %d seconds", name, got.status, got.text, got.header.Get("Retry-After"), seconds)
	}
}

func wantStatus(t *testing.T, name string, got answer, status int) {
	t.Helper()
	if got.status != status {
		t.Errorf("%s: got %d, %s, want %d", name, got.status, got.text, status)
	}
}

// TestRateLimit spends the budget of a caller in each way that a request can go, and looks how much each takes.
func TestRateLimit(t *testing.T) {
	t.Parallel()
	const kibibytes = 5
	long := `{"query":"{","variables":{"x":"` + strings.Repeat("x", kibibytes<<10) + `"}}`
	for name, way := range map[string]struct {
		method, target, body string
		header               []string
		status, points       int
	}{
		"query":                    {body: body("{ echo }"), status: 200, points: 10},
		"GET":                      {method: http.MethodGet, target: get("query", "{ echo }"), status: 200, points: 10},
		"mutation":                 {body: body("mutation { echo }"), status: 200, points: 10},
		"mutation by GET":          {method: http.MethodGet, target: get("query", "mutation { echo }"), status: 405, points: 10},
		"query with errors":        {body: body("{ fails }"), status: 200, points: 10},
		"one response as events":   {body: body("{ echo }"), header: []string{"Accept", typeEvents}, status: 200, points: 10},
		"subscription":             {body: body("subscription { counter(to: 0) { number } }"), header: []string{"Accept", typeEvents}, status: 200, points: 10},
		"subscription, two events": {body: body("subscription { counter(to: 2) { number } }"), header: []string{"Accept", typeEvents}, status: 200, points: 30},
		"subscription as JSON":     {body: body("subscription { counter { number } }"), status: 406, points: 10},
		"forbidden":                {body: body("{ private }"), status: 403, points: 10},
		"no document":              {body: `{}`, status: 400, points: 1},
		"invalid document":         {body: body("{ nothing }"), status: 200, points: 1},
		"no JSON":                  {body: "{", status: 400, points: 1},
		"long and refused":         {body: long, status: 200, points: 10 * kibibytes},
		"long and no JSON":         {body: strings.Repeat(" ", kibibytes<<10), status: 400, points: 10 * kibibytes},
		"long and valid":           {body: strings.Repeat(" ", 11<<10) + body("{ echo }"), status: 200, points: 11},
		"PUT":                      {method: http.MethodPut, status: 405, points: 1},
		"not acceptable":           {body: body("{ echo }"), header: []string{"Accept", "image/png"}, status: 406, points: 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inBubble(t, limited, func(t *testing.T, s *site) {
				method, target := way.method, way.target
				if method == "" {
					method, target = http.MethodPost, "/graphql"
				}
				if target == "" {
					target = "/graphql"
				}
				header := append([]string{"Authorization", "Bearer bob"}, way.header...)
				left := 60
				for ; left >= way.points && left > 60-3*way.points; left -= way.points {
					wantStatus(t, "with points", s.ask(t, method, target, way.body, header...), way.status)
				}
				for ; left >= 10; left -= 10 {
					wantStatus(t, "the rest", s.ask(t, http.MethodPost, "/graphql", body("{ echo }"), header[:2]...), http.StatusOK)
				}
				wantRate(t, "without points", s.ask(t, http.MethodPost, "/graphql", body("{ echo }"), header[:2]...), 10-left)
			})
		})
	}
}

// TestRateLimitRefills waits as long as the server says.
func TestRateLimitRefills(t *testing.T) {
	t.Parallel()
	inBubble(t, limited, func(t *testing.T, s *site) {
		ask := func() answer {
			return s.ask(t, http.MethodPost, "/graphql", body("{ echo }"), "Authorization", "Bearer ada")
		}
		for range 6 {
			wantStatus(t, "with points", ask(), http.StatusOK)
		}
		wantRate(t, "without points", ask(), 10)
		<-time.After(10*time.Second - time.Nanosecond)
		wantRate(t, "a moment too early", ask(), 1)
		<-time.After(time.Nanosecond)
		wantStatus(t, "after the time", ask(), http.StatusOK)
	})
}

// TestRateLimitIsOfTheCaller tests that each caller has its own budget, and callers without credentials that of their
// address.
func TestRateLimitIsOfTheCaller(t *testing.T) {
	t.Parallel()
	o := testOptions()
	limited(&o, nil)
	o.Proxies = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
	handler := server.New(o)
	ask := func(client, token string) int {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, get("query", "{ echo }"), nil)
		r.RemoteAddr = "10.0.0.1:1"
		r.Header.Set("X-Forwarded-For", client)
		if token != "" {
			r.Header.Set("Authorization", "Bearer "+token)
		}
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		return w.Code
	}
	for _, step := range []struct {
		client, token string
		shared        bool // with an earlier step
	}{
		{"192.0.2.1", "ada", false},
		{"192.0.2.2", "ada", true},
		{"192.0.2.2", "bob", false},
		{"192.0.2.2", "", false},
		{"192.0.2.3", "", false},
		{"192.0.2.3:5678", "", true},
		{"::ffff:192.0.2.3", "", true},
		{"2001:db8::1", "", false},
		{"2001:db8::2", "", true},
		{"2001:db8:0:1::1", "", false},
		{"unknown", "", false},
		{"10.0.0.1", "", true}, // the proxy
		{"", "", true},
	} {
		want := http.StatusOK
		if step.shared {
			want = http.StatusTooManyRequests
		}
		for range 6 {
			if got := ask(step.client, step.token); got != want {
				t.Fatalf("%s %q: got %d, want %d", step.client, step.token, got, want)
			}
		}
		if got := ask(step.client, step.token); got != http.StatusTooManyRequests {
			t.Errorf("%s %q, the last: got %d, want 429", step.client, step.token, got)
		}
	}
}

// TestWrongCredentialsCost sends wrong tokens until the address is out of points. Then no new token is verified, but
// known ones are accepted.
func TestWrongCredentialsCost(t *testing.T) {
	t.Parallel()
	var verified int
	counting := func(o *server.Options, _ *server.StreamOptions) {
		limited(o, nil)
		o.Authenticator = counted{o.Authenticator, &verified}
	}
	inBubble(t, counting, func(t *testing.T, s *site) {
		ask := func(authorization string) answer {
			if authorization == "" {
				return s.ask(t, http.MethodPost, "/graphql", body("{ echo }"))
			}
			return s.ask(t, http.MethodPost, "/graphql", body("{ echo }"), "Authorization", authorization)
		}
		open := func(authorization string) *socket {
			synctest.Wait() // until the server has left the last socket: it has few places for guests
			c := s.dial(t)
			c.send(t, fmt.Sprintf(`{"type":"connection_init","payload":{"Authorization":%q}}`, authorization))
			return c
		}
		wantStatus(t, "ada", ask("Bearer ada"), http.StatusOK)
		wantStatus(t, "a suspended user", ask("Bearer "+streamtest.Suspended), http.StatusForbidden)
		wantStatus(t, "no provider", ask("Bearer "+streamtest.Unavailable), http.StatusServiceUnavailable)
		for range 3 {
			wantStatus(t, "an expired token", ask("Bearer "+streamtest.Expired), http.StatusUnauthorized)
		}
		wantStatus(t, "Basic", ask("Basic YWRhOnNlY3JldA=="), http.StatusUnauthorized)
		wantStatus(t, "nothing after Bearer", ask("Bearer"), http.StatusUnauthorized)
		open("Bearer "+streamtest.Expired).wantClose(t, 4403, "the token has expired") // the sixth one
		before := verified
		for _, authorization := range []string{"Bearer " + streamtest.Expired, "Bearer bob", "Basic YWRhOnNlY3JldA==", "Bearer " + streamtest.Unavailable} {
			wantRate(t, authorization, ask(authorization), 1)
			open(authorization).wantClose(t, 1013, "too many requests: try again in 1 s")
		}
		wantRate(t, "without credentials", ask(""), 10)
		if verified != before {
			t.Errorf("got %d tokens verified, want none", verified-before)
		}
		wantStatus(t, "a known token", ask("Bearer ada"), http.StatusOK)
		s.socketOf(t, "ada").close(t)
		<-time.After(time.Second)
		wantStatus(t, "a new token after a second", ask("Bearer bob"), http.StatusOK)
	})
}

// counted counts how often tokens are verified.
type counted struct {
	server.Authenticator
	verified *int
}

func (c counted) Authenticate(ctx context.Context, authorization ...string) (context.Context, error) {
	if len(authorization) > 0 && !c.Known(authorization...) {
		*c.verified++
	}
	return c.Authenticator.Authenticate(ctx, authorization...)
}

func TestSocketRateLimit(t *testing.T) {
	t.Parallel()
	refused := func(id string, seconds int) string {
		return failed(id, fmt.Sprintf(`[{"message":"too many requests: try again in %d s","extensions":{"code":"RATE_LIMITED"}}]`, seconds))
	}
	inBubble(t, limited, func(t *testing.T, s *site) {
		c := s.socketOf(t, "ada") // 1 point
		c.send(t, subscribe("1", `{ echo(text: "hi") }`))
		c.want(t, next("1", `{"data":{"echo":"hi"}}`), complete("1"))
		c.send(t, subscribe("2", "{")) // 1 point
		c.want(t, failed("2", `[{"message":"Expected Name, found \u003cEOF\u003e","locations":[{"line":1,"column":2}],"extensions":{"code":"GRAPHQL_PARSE_FAILED"}}]`))
		c.send(t, `{"type":"subscribe","id":"3","payload":{"query":""}}`) // 1 point
		c.want(t, failed("3", `[{"message":"the parameter query is empty","extensions":{"code":"BAD_REQUEST"}}]`))
		// 47 points: the start and three events, and not the fourth one.
		c.send(t, subscribe("4", "subscription { counter(to: 9) { number } }"))
		c.want(t, next("4", `{"data":{"counter":{"number":1}}}`), next("4", `{"data":{"counter":{"number":2}}}`),
			next("4", `{"data":{"counter":{"number":3}}}`), refused("4", 3))
		c.send(t, subscribe("5", "{ echo }"))
		c.want(t, refused("5", 3))
		<-time.After(3 * time.Second)
		c.send(t, subscribe("6", `{ echo(text: "again") }`))
		c.want(t, next("6", `{"data":{"echo":"again"}}`), complete("6"))
		c.send(t, subscribe("7", "{")) // a debt of one point
		c.want(t, failed("7", `[{"message":"Expected Name, found \u003cEOF\u003e","locations":[{"line":1,"column":2}],"extensions":{"code":"GRAPHQL_PARSE_FAILED"}}]`))
		c.send(t, subscribe("8", "{"))
		c.want(t, refused("8", 1))
		synctest.Wait()
		other := s.dial(t)
		other.send(t, `{"type":"connection_init","payload":{"Authorization":"Bearer ada"}}`)
		other.wantClose(t, 1013, "too many requests: try again in 2 s")
		c.send(t, `{"type":"ping"}`) // is free
		c.want(t, pong)
		c.close(t)
	})
}

func TestEventStreamRateLimit(t *testing.T) {
	t.Parallel()
	inBubble(t, limited, func(t *testing.T, s *site) {
		ask := func() answer {
			return s.ask(t, http.MethodPost, "/graphql", body("subscription { counter(to: 9) { number } }"),
				"Accept", typeEvents, "Authorization", "Bearer ada")
		}
		want := ":\n\n"
		for i := range 5 {
			want += fmt.Sprintf("event: next\ndata: {\"data\":{\"counter\":{\"number\":%d}}}\n\n", i+1)
		}
		want += "event: next\ndata: {\"errors\":[{\"message\":\"too many requests: try again in 10 s\",\"extensions\":{\"code\":\"RATE_LIMITED\"}}]}\n\n" +
			"event: complete\ndata:\n\n"
		if got := ask(); got.status != http.StatusOK || got.text != want {
			t.Errorf("got %d, %s, want %s", got.status, got.text, want)
		}
		wantRate(t, "another stream", ask(), 10)
	})
}

// TestManyClients sends a request from each of 10,000 addresses at once. Nobody is refused but who asks too much.
func TestManyClients(t *testing.T) {
	t.Parallel()
	o := testOptions()
	limited(&o, nil)
	o.Proxies = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
	handler := server.New(o)
	status := make(chan int, 10_000)
	for i := range cap(status) {
		go func() { status <- askFrom(t, handler, "10.0.0.1:1", fmt.Sprintf("192.0.%d.%d", i>>8, i&255)).Code }()
	}
	for range cap(status) {
		if got := <-status; got != http.StatusOK {
			t.Fatalf("got %d, want 200", got)
		}
	}
}

// TestDebt sends long requests that are refused, at once. Their price is a debt, but a small one: after two minutes, the
// caller can go on.
func TestDebt(t *testing.T) {
	t.Parallel()
	inBubble(t, limited, func(t *testing.T, s *site) {
		garbage := strings.Repeat("x", 19<<10) // 190 points
		var requests sync.WaitGroup
		for range 50 {
			requests.Go(func() { s.ask(t, http.MethodPost, "/graphql", garbage, "Authorization", "Bearer ada") })
		}
		requests.Wait()
		got := s.ask(t, http.MethodPost, "/graphql", body("{ echo }"), "Authorization", "Bearer ada")
		wantRate(t, "after the garbage", got, 60)
		<-time.After(70 * time.Second)
		wantStatus(t, "after the time", s.ask(t, http.MethodPost, "/graphql", body("{ echo }"), "Authorization", "Bearer ada"), http.StatusOK)
	})
}

// TestRefusedForTheRate tests that a long operation without points pays for its reading, and a short one nothing: a client
// that tries again early must not wait for ever.
func TestRefusedForTheRate(t *testing.T) {
	t.Parallel()
	inBubble(t, limited, func(t *testing.T, s *site) {
		ask := func(body string) answer {
			return s.ask(t, http.MethodPost, "/graphql", body, "Authorization", "Bearer ada")
		}
		short := body("{ echo }")
		for range 5 {
			wantStatus(t, "with points", ask(short), http.StatusOK)
		}
		long := strings.Repeat(" ", 11<<10) + short // 11 points
		wantRate(t, "long", ask(long), 61)          // of 110 points it pays 60, a full budget, and so has a debt of 50
		<-time.After(60 * time.Second)
		wantStatus(t, "short, after the debt", ask(short), http.StatusOK)
		for range 100 {
			wantRate(t, "short, without points", ask(short), 10)
		}
	})
}

// TestMessagesCost sends long messages without operations on a WebSocket, before and after connection_init.
func TestMessagesCost(t *testing.T) {
	t.Parallel()
	ping := `{"type":"ping","payload":{"x":"` + strings.Repeat("x", 2<<10) + `"}}` // 20 points
	answer := strings.Replace(ping, "ping", "pong", 1)
	for name, test := range map[string]struct {
		open           func(t *testing.T, s *site) *socket
		pings, seconds int
	}{
		"a guest":  {func(t *testing.T, s *site) *socket { t.Helper(); return s.dial(t) }, 4, 20},
		"a caller": {func(t *testing.T, s *site) *socket { t.Helper(); return s.socketOf(t, "ada") }, 3, 1}, // one point for the socket
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inBubble(t, limited, func(t *testing.T, s *site) {
				c := test.open(t, s)
				for range test.pings {
					c.send(t, ping)
					c.want(t, answer)
				}
				c.send(t, `{"type":"ping"}`) // in debt, but short
				c.want(t, pong)
				c.send(t, ping)
				c.wantClose(t, 1013, fmt.Sprintf("too many requests: try again in %d s", test.seconds))
			})
		})
	}
}
