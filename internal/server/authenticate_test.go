package server_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"

	"roster/internal/auth"
	"roster/internal/logging"
	"roster/internal/server"
	"roster/internal/server/streamtest"
)

// authenticateTimeout is the time that the server gives an Authenticator.
const authenticateTimeout = 10 * time.Second

// A refused is the answer to credentials that are refused.
type refused struct {
	status    int
	code      string
	challenge string
	retry     string
}

// refusals are all ways in which credentials are refused.
func refusals() map[string]refused {
	const header = "Bearer" // no token came
	return map[string]refused{
		"Basic YWRhOnNlY3JldA==":           {http.StatusUnauthorized, "UNAUTHENTICATED", header, ""},
		"Bearer":                           {http.StatusUnauthorized, "UNAUTHENTICATED", header, ""},
		"Bearer ":                          {http.StatusUnauthorized, "UNAUTHENTICATED", header, ""},
		"":                                 {http.StatusUnauthorized, "UNAUTHENTICATED", header, ""},
		"ada":                              {http.StatusUnauthorized, "UNAUTHENTICATED", header, ""},
		"Bearer " + streamtest.Expired:     {http.StatusUnauthorized, "UNAUTHENTICATED", `Bearer error="invalid_token", error_description="the token has expired"`, ""},
		"Bearer " + streamtest.Odd:         {http.StatusUnauthorized, "UNAUTHENTICATED", `Bearer error="invalid_token", error_description="the 'scope' is??X: a??"`, ""},
		"Bearer " + streamtest.Suspended:   {http.StatusForbidden, "FORBIDDEN", "", ""},
		"Bearer " + streamtest.Forbidden:   {http.StatusForbidden, "FORBIDDEN", "", ""},
		"Bearer " + streamtest.Unavailable: {http.StatusServiceUnavailable, "UNAVAILABLE", "", "1"},
		"Bearer " + streamtest.Broken:      {http.StatusServiceUnavailable, "UNAVAILABLE", "", "1"},
		"Bearer " + streamtest.Hanging:     {http.StatusServiceUnavailable, "UNAVAILABLE", "", "1"},
	}
}

func (r refused) check(t *testing.T, way string, got answer) {
	t.Helper()
	if got.status != r.status || onlyCode([]byte(got.text)) != r.code {
		t.Errorf("%s: got status %d, %s, want %d and %s", way, got.status, got.text, r.status, r.code)
	}
	for name, want := range map[string]string{"WWW-Authenticate": r.challenge, "Retry-After": r.retry, "Cache-Control": "no-store"} {
		if value := got.header.Get(name); value != want {
			t.Errorf("%s: %s: got %q, want %q", way, name, value, want)
		}
	}
}

func TestRefusedCredentials(t *testing.T) {
	t.Parallel()
	for authorization, want := range refusals() {
		t.Run(authorization, func(t *testing.T) {
			t.Parallel()
			inBubble(t, nil, func(t *testing.T, s *site) {
				for accept, mediaType := range map[string]string{typeJSON: typeJSON, typeResponse: typeResponse, typeEvents: typeJSON} {
					for _, query := range []string{"{ echo }", "subscription { silent { number } }", "{"} {
						got := s.ask(t, http.MethodPost, "/graphql", body(query), "Accept", accept, "Authorization", authorization)
						want.check(t, accept+" "+query, got)
						if got := got.header.Get("Content-Type"); got != mediaType+"; charset=utf-8" {
							t.Errorf("%s: got the media type %s, want %s", accept, got, mediaType)
						}
						for _, secret := range []string{"secret", "YWRh", "detail"} {
							if strings.Contains(got.text+fmt.Sprint(got.header), secret) {
								t.Errorf("got %q in %s, want none of it", secret, got.text)
							}
						}
					}
				}
				want.check(t, "GET", s.ask(t, http.MethodGet, get("query", "{ echo }"), "", "Authorization", authorization))
			})
		})
	}
}

func TestCallers(t *testing.T) {
	t.Parallel()
	inBubble(t, nil, func(t *testing.T, s *site) {
		const query = "{ caller }"
		for _, test := range []struct {
			target string
			header []string
			want   string
		}{
			{"/graphql", []string{"Authorization", "Bearer ada"}, `{"data":{"caller":"ada"}}`},
			{"/graphql", []string{"Authorization", "bEARER  ada"}, `{"data":{"caller":"ada"}}`},
			{"/graphql", nil, `{"data":{"caller":null}}`},
			// A token in the address is none.
			{"/graphql?access_token=ada", nil, `{"data":{"caller":null}}`},
			{"/graphql?Authorization=Bearer+ada", []string{"Authorization", "Bearer bob"}, `{"data":{"caller":"bob"}}`},
		} {
			if got := s.ask(t, http.MethodPost, test.target, body(query), test.header...); got.text != test.want || got.status != http.StatusOK {
				t.Errorf("%s %v: got status %d, %s, want %s", test.target, test.header, got.status, got.text, test.want)
			}
		}
		if got := s.ask(t, http.MethodGet, get("query", query, "access_token", "ada"), ""); got.text != `{"data":{"caller":null}}` {
			t.Errorf("a token in the address of a GET: got %s, want nobody", got.text)
		}
	})
}

func TestTwoAuthorizationHeaders(t *testing.T) {
	t.Parallel()
	inBubble(t, nil, func(t *testing.T, s *site) {
		for _, query := range []string{"{ echo }", "subscription { silent { number } }"} {
			request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://roster.test/graphql", strings.NewReader(body(query)))
			if err != nil {
				t.Fatal(err)
			}
			request.Header = http.Header{"Content-Type": {typeJSON}, "Accept": {typeEvents}, "Authorization": {"Bearer ada", "Bearer ada"}}
			response, err := s.client.Do(request)
			if err != nil {
				t.Fatal(err)
			}
			got := read(t, response)
			response.Body.Close()
			if got.status != http.StatusBadRequest || onlyCode([]byte(got.text)) != "BAD_REQUEST" {
				t.Errorf("got status %d, %s, want 400 and BAD_REQUEST", got.status, got.text)
			}
		}
		_, err := s.handshake(t.Context(), http.Header{"Authorization": {"Bearer ada", "Bearer bob"}}, "graphql-transport-ws")
		if want := (refusedError{http.StatusBadRequest, typeJSON + "; charset=utf-8"}); err != want { //nolint:errorlint // It is compared as a value.
			t.Errorf("a handshake: got %v, want %v", err, want)
		}
	})
}

// TestRefusedRequests has requests that the executor refuses as a whole.
func TestRefusedRequests(t *testing.T) {
	t.Parallel()
	nobody := refused{http.StatusUnauthorized, "UNAUTHENTICATED", "Bearer", ""}
	forbidden := refused{http.StatusForbidden, "FORBIDDEN", "", ""}
	inBubble(t, nil, func(t *testing.T, s *site) {
		for accept, mediaType := range map[string]string{typeJSON: typeJSON, typeResponse: typeResponse, typeEvents: typeJSON} {
			for _, query := range []string{"{ private }", "{ caller private }", "subscription { private { number } }"} {
				if strings.HasPrefix(query, "subscription") && accept != typeEvents {
					continue
				}
				for header, want := range map[string]refused{"": nobody, "Bearer bob": forbidden} {
					headers := []string{"Accept", accept}
					if header != "" {
						headers = append(headers, "Authorization", header)
					}
					got := s.ask(t, http.MethodPost, "/graphql", body(query), headers...)
					want.check(t, query+" "+header, got)
					if got := got.header.Get("Content-Type"); got != mediaType+"; charset=utf-8" {
						t.Errorf("%s: got the media type %s, want %s", accept, got, mediaType)
					}
				}
			}
			got := s.ask(t, http.MethodPost, "/graphql", body("{ private }"), "Accept", accept, "Authorization", "Bearer ada")
			if got.status != http.StatusOK || !strings.Contains(got.text, `{"data":{"private":"secret"}}`) {
				t.Errorf("ada: got status %d, %s, want the field", got.status, got.text)
			}
		}
		// A field that is refused is part of an answer.
		got := s.ask(t, http.MethodPost, "/graphql", body("{ fails caller }"), "Accept", typeResponse)
		if got.status != http.StatusOK || got.header.Get("WWW-Authenticate") != "" {
			t.Errorf("got status %d, %v, want 200 without a challenge", got.status, got.header)
		}
	})
}

// TestAuthenticationIsBounded has an Authenticator that does not answer.
func TestAuthenticationIsBounded(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	inBubble(t, logTo(&log), func(t *testing.T, s *site) {
		began := time.Now()
		refusals()["Bearer "+streamtest.Hanging].check(t, "", s.ask(t, http.MethodPost, "/graphql", body("{ echo }"), "Authorization", "Bearer "+streamtest.Hanging))
		if took := time.Since(began); took != authenticateTimeout {
			t.Errorf("got an answer after %s, want %s", took, authenticateTimeout)
		}
		// The bound is that of the authentication, and not of the request.
		got := s.ask(t, http.MethodPost, "/graphql", body("{ waits(milliseconds: 20000) caller }"), "Authorization", "Bearer ada")
		if got.text != `{"data":{"waits":"waited","caller":"ada"}}` {
			t.Errorf("got %s, want the answer of a request that takes longer", got.text)
		}
	})
	if want := `msg="the caller of a request cannot be found" error="context canceled" requestId=made-here`; !strings.Contains(log.String(), want) {
		t.Errorf("got the log %s, want %s", log.String(), want)
	}
}

// logTo lets a server log everything.
func logTo(log io.Writer) func(o *server.Options, _ *server.StreamOptions) {
	return func(o *server.Options, _ *server.StreamOptions) {
		o.Logger = slog.New(logging.NewHandler(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug})))
	}
}

func TestCredentialsAreNotLogged(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	inBubble(t, logTo(&log), func(t *testing.T, s *site) {
		s.ask(t, http.MethodPost, "/graphql?access_token=c2VjcmV0", body("{ echo }"), "Authorization", "Basic c2VjcmV0")
		s.ask(t, http.MethodGet, get("query", "{ echo }", "access_token", "c2VjcmV0"), "", "Authorization", "Bearer c2VjcmV0")
		s.ask(t, http.MethodPost, "/graphql", body("{ echo }"), "Authorization", "Bearer "+streamtest.Expired)
		c := s.dial(t)
		c.send(t, `{"type":"connection_init","payload":{"Authorization":"Basic c2VjcmV0"}}`)
		c.wantClose(t, 4403, "the Authorization header must be Bearer and a token")
	})
	if strings.Contains(log.String(), "c2VjcmV0") {
		t.Errorf("got the log %s, want no credentials", log.String())
	}
	if want := `msg="refused credentials" description="the token has expired" detail=detail-of-the-token requestId=made-here`; !strings.Contains(log.String(), want) {
		t.Errorf("got the log %s, want %s", log.String(), want)
	}
}

// TestForbiddenIsLogged refuses the bearer of a valid token. The operator sees the reason at the default level.
func TestForbiddenIsLogged(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	change := func(o *server.Options, _ *server.StreamOptions) {
		o.Logger = slog.New(logging.NewHandler(slog.NewTextHandler(&log, nil)))
	}
	inBubble(t, change, func(t *testing.T, s *site) {
		got := s.ask(t, http.MethodPost, "/graphql", body("{ echo }"), "Authorization", "Bearer "+streamtest.Forbidden)
		if !strings.Contains(got.text, "the token leaves out groups") || strings.Contains(got.text, "operator") {
			t.Errorf("got %s, want the description alone", got.text)
		}
		c := s.dial(t)
		c.send(t, `{"type":"connection_init","payload":{"Authorization":"Bearer `+streamtest.Forbidden+`"}}`)
		c.wantClose(t, 4403, "the token leaves out groups")
	})
	if want := `level=WARN msg="refused the bearer of valid credentials" reason="detail for the operator" requestId=made-here`; strings.Count(log.String(), want) != 2 {
		t.Errorf("got the log %s, want %s twice", log.String(), want)
	}
}

// TestCallerComesBeforeTheBody refuses a request whose client waits with the body until the server asks for it.
func TestCallerComesBeforeTheBody(t *testing.T) {
	t.Parallel()
	inBubble(t, nil, func(t *testing.T, s *site) {
		conn := s.connect(t)
		defer conn.Close()
		began := time.Now()
		write(t, conn, "POST /graphql HTTP/1.1\r\nHost: roster.test\r\nContent-Type: application/json\r\nContent-Length: 999\r\n"+
			"Expect: 100-continue\r\nAuthorization: Bearer expired\r\n\r\n")
		line, err := bufio.NewReader(conn).ReadString('\n')
		if err != nil || line != "HTTP/1.1 401 Unauthorized\r\n" || time.Since(began) != 0 {
			t.Errorf("got %q, %v after %s, want 401 at once", line, err, time.Since(began))
		}
	})
}

// leaving is an Authenticator whose callers are suspended when they are gone.
type leaving struct {
	server.Authenticator
	gone atomic.Bool
}

func (l *leaving) Authenticate(ctx context.Context, authorization ...string) (context.Context, error) {
	if l.gone.Load() {
		return nil, auth.ErrSuspended
	}
	return l.Authenticator.Authenticate(ctx, authorization...)
}

// TestCallerOfASlowBody suspends a caller while the body of its request arrives: the request is refused.
func TestCallerOfASlowBody(t *testing.T) {
	t.Parallel()
	for gone, want := range map[bool]string{false: "HTTP/1.1 200 OK\r\n", true: "HTTP/1.1 403 Forbidden\r\n"} {
		callers := &leaving{Authenticator: streamtest.NewAuthenticator()}
		var seconds atomic.Int64
		configure := func(o *server.Options, _ *server.StreamOptions) {
			o.Authenticator, o.Clock = callers, func() time.Time { return time.Unix(seconds.Load(), 0) }
		}
		inBubble(t, configure, func(t *testing.T, s *site) {
			conn := s.connect(t)
			defer conn.Close()
			text := body("{ caller }")
			write(t, conn, fmt.Sprintf("POST /graphql HTTP/1.1\r\nHost: roster.test\r\nContent-Type: application/json\r\n"+
				"Authorization: Bearer ada\r\nContent-Length: %d\r\n\r\n%s", len(text), text[:5]))
			synctest.Wait()
			callers.gone.Store(gone)
			seconds.Add(1)
			write(t, conn, text[5:])
			line, err := bufio.NewReader(conn).ReadString('\n')
			if err != nil || line != want {
				t.Errorf("got %q, %v, want %q", line, err, want)
			}
		})
	}
}

// TestAuthenticationTakesNoTurn lets one request wait for its authentication, where only one may be executed.
func TestAuthenticationTakesNoTurn(t *testing.T) {
	t.Parallel()
	inBubble(t, func(o *server.Options, _ *server.StreamOptions) { o.MaxRequests = 1 }, func(t *testing.T, s *site) {
		waiting := make(chan int)
		go func() {
			waiting <- s.ask(t, http.MethodPost, "/graphql", body("{ echo }"), "Authorization", "Bearer "+streamtest.Hanging).status
		}()
		synctest.Wait()
		if got := s.ask(t, http.MethodPost, "/graphql", body("{ caller }"), "Authorization", "Bearer ada"); got.text != `{"data":{"caller":"ada"}}` {
			t.Errorf("got %s, want an answer", got.text)
		}
		if got := <-waiting; got != http.StatusServiceUnavailable {
			t.Errorf("got status %d, want 503", got)
		}
	})
}

// TestCancelledAuthentication has a client that disconnects while its token is being verified.
func TestCancelledAuthentication(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	inBubble(t, logTo(&log), func(t *testing.T, s *site) {
		began := time.Now()
		conn := s.connect(t)
		write(t, conn, "GET "+get("query", "{ echo }")+" HTTP/1.1\r\nHost: roster.test\r\nAuthorization: Bearer "+streamtest.Hanging+"\r\n\r\n")
		synctest.Wait()
		conn.Close()
		s.left(t)
		if took := time.Since(began); took != 0 {
			t.Errorf("got the end after %s, want it at once", took)
		}
	})
	if strings.Contains(log.String(), "level=WARN") {
		t.Errorf("got the log %s, want no warning", log.String())
	}
}

// TestPublicAddresses has what needs no credentials, and does not look at them.
func TestPublicAddresses(t *testing.T) {
	t.Parallel()
	inBubble(t, func(o *server.Options, _ *server.StreamOptions) { o.Origins = []string{"https://app.test"} }, func(t *testing.T, s *site) {
		for _, path := range []string{"/", "/healthz", "/readyz", "/schema.graphql", "/playground/x"} {
			for _, header := range [][]string{nil, {"Authorization", "Bearer " + streamtest.Expired}} {
				if got := s.ask(t, http.MethodGet, path, "", header...); got.status != http.StatusOK {
					t.Errorf("%s with %v: got status %d, want 200", path, header, got.status)
				}
			}
		}
		got := s.ask(t, http.MethodOptions, "/graphql", "", "Origin", "https://app.test", "Access-Control-Request-Method", "POST", "Access-Control-Request-Headers", "authorization")
		if got.status != http.StatusNoContent || !strings.Contains(got.header.Get("Access-Control-Allow-Headers"), "Authorization") {
			t.Errorf("a preflight: got status %d, %v, want 204 and Authorization", got.status, got.header)
		}
		got = s.ask(t, http.MethodPost, "/graphql", body("{ private }"), "Origin", "https://app.test")
		if got.status != http.StatusUnauthorized || !strings.Contains(got.header.Get("Access-Control-Expose-Headers"), "WWW-Authenticate") {
			t.Errorf("another origin: got status %d, %v, want 401 with a challenge that the page can read", got.status, got.header)
		}
	})
}

// TestSocketCallers has all places in which a socket finds credentials. The caller "" is nobody.
func TestSocketCallers(t *testing.T) {
	t.Parallel()
	const (
		notString = "Authorization in connection_init must be a string"
		doubled   = "Authorization in connection_init is doubled"
		notBearer = "the Authorization header must be Bearer and a token"
	)
	for _, test := range []struct {
		handshake, payload string
		caller             string
		reason             string
	}{
		{payload: `null`},
		{payload: `{}`},
		{payload: `{"headers":{},"token":"ada","access_token":"ada"}`},
		{payload: `{"headers":null}`},
		{payload: `{"Authorization":"Bearer ada"}`, caller: "ada"},
		{payload: `{"authorization":"Bearer ada"}`, caller: "ada"},
		{payload: `{"AUTHORIZATION":"bearer ada"}`, caller: "ada"},
		{payload: `{"headers":{"Authorization":"Bearer ada"}}`, caller: "ada"},
		{payload: `{"headers":{"aUTHORIZATION":"Bearer ada","x":1}}`, caller: "ada"},
		{payload: `{"headers":{"Authorization":"Bearer bob"},"authorization":"Bearer ada"}`, caller: "ada"},
		{payload: `{"headers":1,"authorization":"Bearer ada"}`, caller: "ada"},
		{handshake: "Bearer ada", payload: `null`, caller: "ada"},
		{handshake: "Bearer ada", payload: `{"headers":{}}`, caller: "ada"},
		{handshake: "Bearer ada", payload: `{"Authorization":"Bearer bob"}`, caller: "bob"},
		{handshake: "Bearer ada", payload: `{"headers":{"authorization":"Bearer bob"}}`, caller: "bob"},
		{handshake: "Bearer " + streamtest.Expired, payload: `{"Authorization":"Bearer bob"}`, caller: "bob"},

		{payload: `{"Authorization":"Bearer ada","authorization":"Bearer ada"}`, reason: doubled},
		{payload: `{"headers":{"Authorization":"Bearer ada","authorization":"Bearer bob"}}`, reason: doubled},
		{payload: `{"Authorization":null}`, reason: notString},
		{payload: `{"Authorization":["Bearer ada"]}`, reason: notString},
		{payload: `{"headers":{"Authorization":1}}`, reason: notString},
		{payload: `{"Authorization":{},"headers":{"Authorization":"Bearer ada"}}`, reason: notString},
		{payload: `{"headers":"Bearer ada"}`, reason: "headers in connection_init must be an object"},
		{payload: `{"headers":["Authorization","Bearer ada"]}`, reason: "headers in connection_init must be an object"},
		{payload: `{"Authorization":""}`, reason: notBearer},
		{payload: `{"Authorization":"Bearer "}`, reason: notBearer},
		{payload: `{"Authorization":"Basic YWRh"}`, reason: notBearer},
		{payload: `{"Authorization":"Bearer ` + streamtest.Expired + `"}`, reason: "the token has expired"},
		{payload: `{"Authorization":"Bearer ` + streamtest.Suspended + `"}`, reason: "your user is suspended: ask an administrator"},
		{handshake: "Basic YWRh", payload: `null`, reason: notBearer},
		{handshake: "Bearer " + streamtest.Expired, payload: `{}`, reason: "the token has expired"},
		{handshake: "Bearer ada", payload: `{"Authorization":"Bearer ` + streamtest.Expired + `"}`, reason: "the token has expired"},
	} {
		t.Run(test.handshake+test.payload, func(t *testing.T) {
			t.Parallel()
			inBubble(t, nil, func(t *testing.T, s *site) {
				header := http.Header{}
				if test.handshake != "" {
					header.Set("Authorization", test.handshake)
				}
				c, err := s.handshake(t.Context(), header, "graphql-transport-ws")
				if err != nil {
					t.Fatal(err)
				}
				c.send(t, `{"type":"connection_init","payload":`+test.payload+`}`)
				if test.reason != "" {
					c.wantClose(t, 4403, test.reason)
					return
				}
				caller := "null"
				if test.caller != "" {
					caller = `"` + test.caller + `"`
				}
				c.want(t, ack)
				c.send(t, subscribe("1", "{ caller }"))
				c.want(t, next("1", `{"data":{"caller":`+caller+`}}`), complete("1"))
				c.close(t)
			})
		})
	}
}

// A request that is refused as a whole is an operation that fails.
func TestSocketRefusedOperations(t *testing.T) {
	t.Parallel()
	inBubble(t, nil, func(t *testing.T, s *site) {
		c := s.openSocket(t)
		for _, query := range []string{"{ private }", "subscription { private { number } }"} {
			c.send(t, subscribe("1", query))
			c.want(t, failed("1", `[{"message":"a token is needed","extensions":{"code":"UNAUTHENTICATED"}}]`))
		}
		c.send(t, subscribe("1", "{ echo }"))
		c.want(t, next("1", `{"data":{"echo":null}}`), complete("1"))
		c.close(t)
	})
}

func TestSocketTriesAgainLater(t *testing.T) {
	t.Parallel()
	for token, took := range map[string]time.Duration{
		streamtest.Unavailable: 0, streamtest.Broken: 0, streamtest.Hanging: authenticateTimeout, // longer than connection_init may take
	} {
		t.Run(token, func(t *testing.T) {
			t.Parallel()
			inBubble(t, nil, func(t *testing.T, s *site) {
				began := time.Now()
				c := s.dial(t)
				c.send(t, `{"type":"connection_init","payload":{"Authorization":"Bearer `+token+`"}}`)
				c.wantClose(t, 1013, "the server cannot check credentials now: try again")
				if got := time.Since(began); got != took {
					t.Errorf("got the end after %s, want %s", got, took)
				}
			})
		})
	}
}

// TestSocketStopsWhileItAuthenticates stops the server before the acknowledgement.
func TestSocketStopsWhileItAuthenticates(t *testing.T) {
	t.Parallel()
	inBubble(t, nil, func(t *testing.T, s *site) {
		c := s.dial(t)
		c.send(t, `{"type":"connection_init","payload":{"Authorization":"Bearer `+streamtest.Hanging+`"}}`)
		synctest.Wait()
		s.stop()
		c.wantClose(t, 1001, "The server is stopping")
	})
}

// ends are the reasons for which a stream ends because of its caller.
func ends() []struct {
	reason                error
	code, message, closed string
} {
	return []struct {
		reason                error
		code, message, closed string
	}{
		{&auth.InvalidError{Description: "the token has expired"}, "UNAUTHENTICATED", "the token has expired", "the token has expired"},
		{
			fmt.Errorf("watch: %w", auth.ErrSuspended), "FORBIDDEN",
			"your user is suspended: ask an administrator", "your user is suspended: ask an administrator",
		},
		{
			&auth.InvalidError{Description: strings.Repeat("ä", 100)}, "UNAUTHENTICATED",
			strings.Repeat("ä", 100), strings.Repeat("ä", 61),
		},
	}
}

func TestSocketEndsWithItsCaller(t *testing.T) {
	t.Parallel()
	for _, end := range ends() {
		t.Run(end.message, func(t *testing.T) {
			t.Parallel()
			inBubble(t, nil, func(t *testing.T, s *site) {
				ada, bob := s.socketOf(t, "ada"), s.socketOf(t, "bob")
				ada.send(t, subscribe("1", "subscription { silent { number } }"), subscribe("2", "mutation { waits(milliseconds: 3600000) }"))
				bob.send(t, subscribe("1", "subscription { silent { number } }"))
				synctest.Wait()
				began := time.Now()
				if ended := s.callers.End("ada", end.reason); ended != 1 {
					t.Errorf("got %d watches, want 1", ended)
				}
				ada.wantClose(t, 4403, end.closed)
				s.left(t)
				if took := time.Since(began); took != 0 {
					t.Errorf("got the end after %s, want it at once", took)
				}
				if active, watched := s.schema.Active(), s.callers.Watched(); active != 1 || watched != 1 {
					t.Errorf("got %d subscriptions and %d watches, want those of bob", active, watched)
				}
				bob.close(t)
			})
		})
	}
}

// socketOf opens a socket of a caller.
func (s *site) socketOf(t *testing.T, name string) *socket {
	t.Helper()
	c := s.dial(t)
	c.send(t, `{"type":"connection_init","payload":{"Authorization":"Bearer `+name+`"}}`)
	c.want(t, ack)
	return c
}

// sudden is an Authenticator for whose callers the end comes as soon as they are watched.
type sudden struct{ server.Authenticator }

func (a sudden) Watch(ctx context.Context, end func(error)) (stop func()) {
	stop = a.Authenticator.Watch(ctx, end)
	end(auth.ErrSuspended)
	return stop
}

func suddenly(o *server.Options, _ *server.StreamOptions) {
	o.Authenticator = sudden{o.Authenticator}
}

func TestSocketEndsBeforeItBegins(t *testing.T) {
	t.Parallel()
	inBubble(t, suddenly, func(t *testing.T, s *site) {
		c := s.dial(t)
		c.send(t, `{"type":"connection_init"}`)
		for message := range c.messages { // the acknowledgement may come first
			if message != ack {
				t.Errorf("got %s, want no more than the acknowledgement", message)
			}
		}
		c.wantClose(t, 4403, "your user is suspended: ask an administrator")
	})
}

// TestSocketEndsTwice ends the caller while the server stops and lets a mutation finish.
func TestSocketEndsTwice(t *testing.T) {
	t.Parallel()
	inBubble(t, nil, func(t *testing.T, s *site) {
		c := s.socketOf(t, "ada")
		c.send(t, subscribe("1", "mutation { waits(milliseconds: 10000) }"))
		synctest.Wait()
		s.stop()
		synctest.Wait()
		s.callers.End("ada", auth.ErrSuspended)
		s.callers.End("ada", auth.ErrSuspended)
		c.wantClose(t, 4403, "your user is suspended: ask an administrator")
	})
}

// TestSocketThatReadsNothingEnds ends the caller of a client that takes no message.
func TestSocketThatReadsNothingEnds(t *testing.T) {
	t.Parallel()
	inBubble(t, nil, func(t *testing.T, s *site) {
		c := s.dialSilent(t)
		defer c.Close()
		c.send(t, subscribe("1", "subscription { endless { number } }"))
		synctest.Wait()
		began := time.Now()
		s.callers.End("", auth.ErrSuspended)
		s.idle(t)
		s.left(t)
		if took, most := time.Since(began), 5*time.Second; took != most { // which the library gives a message to be sent
			t.Errorf("cut off after %s, want %s", took, most)
		}
	})
}

func TestEventStreamEndsWithItsCaller(t *testing.T) {
	t.Parallel()
	for _, end := range ends() {
		want := fmt.Sprintf("event: next\ndata: {\"errors\":[{\"message\":%q,\"extensions\":{\"code\":%q}}]}\n\nevent: complete\ndata:\n\n", end.message, end.code)
		// Each of the queries is ended at another moment: while it waits, and while an event is being written.
		for query, before := range map[string]string{
			"subscription { silent { number } }":  ":\n\n",
			"subscription { endless { number } }": ":\n\nevent: next\ndata: {\"data\":{\"endless\":{\"number\":1}}}\n\n",
		} {
			t.Run(end.message+query, func(t *testing.T) {
				t.Parallel()
				inBubble(t, nil, func(t *testing.T, s *site) {
					other := s.open(t, http.MethodPost, "/graphql", body("subscription { silent { number } }"), "Accept", typeEvents, "Authorization", "Bearer bob")
					defer other.Body.Close()
					response := s.open(t, http.MethodPost, "/graphql", body(query), "Accept", typeEvents, "Authorization", "Bearer ada")
					defer response.Body.Close()
					synctest.Wait()
					if ended := s.callers.End("ada", end.reason); ended != 1 {
						t.Errorf("got %d watches, want 1", ended)
					}
					synctest.Wait()
					if active := s.schema.Active(); active != 1 {
						t.Errorf("got %d subscriptions, want that of bob", active)
					}
					got := read(t, response).text
					if !strings.HasPrefix(got, before) || !strings.HasSuffix(got, want) || strings.Count(got, "event: complete") != 1 || strings.Count(got, "errors") != 1 {
						t.Errorf("got\n%s\nwant the end\n%s", got, want)
					}
				})
			})
		}
	}
}

func TestEventStreamEndsBeforeItBegins(t *testing.T) {
	t.Parallel()
	inBubble(t, suddenly, func(t *testing.T, s *site) {
		got := s.ask(t, http.MethodPost, "/graphql", body("subscription { silent { number } }"), "Accept", typeEvents)
		const want = ":\n\nevent: next\ndata: {\"errors\":[{\"message\":\"your user is suspended: ask an administrator\",\"extensions\":{\"code\":\"FORBIDDEN\"}}]}\n\n" +
			"event: complete\ndata:\n\n"
		if got.text != want {
			t.Errorf("got %s, want %s", got.text, want)
		}
	})
}

// TestEventStreamIsWatchedToItsEnd has streams that end by themselves.
func TestEventStreamIsWatchedToItsEnd(t *testing.T) {
	t.Parallel()
	inBubble(t, nil, func(t *testing.T, s *site) {
		for _, query := range []string{"counter", "breaks", "private", "panics"} {
			s.ask(t, http.MethodPost, "/graphql", body("subscription { "+query+" { number } }"), "Accept", typeEvents, "Authorization", "Bearer bob")
			synctest.Wait()
			if ended := s.callers.End("bob", auth.ErrSuspended); ended != 0 {
				t.Errorf("%s: got %d watches, want 0", query, ended)
			}
		}
	})
}

// TestEndsAtAnyMoment ends callers on a real network while their streams begin, send and end by themselves.
func TestEndsAtAnyMoment(t *testing.T) {
	t.Parallel()
	const streams = 300
	s := startSite(t, newLoopback(t), many)
	stop := make(chan struct{})
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			select {
			case <-stop:
				return
			case <-time.After(time.Millisecond):
				s.callers.End("ada", auth.ErrSuspended)
			}
		}
	}()
	for i := range streams {
		query := fmt.Sprintf("subscription { counter(to: %d, pause: 1) { number } }", i%5)
		got := s.ask(t, http.MethodPost, "/graphql", body(query), "Accept", typeEvents, "Authorization", "Bearer ada").text
		if strings.Count(got, "event: complete\ndata:\n\n") != 1 || !strings.HasSuffix(got, "event: complete\ndata:\n\n") || strings.Count(got, "errors") > 1 {
			t.Errorf("got %s, want one end", got)
		}
		c := s.dial(t)
		c.send(t, `{"type":"connection_init","payload":{"Authorization":"Bearer ada"}}`)
		_ = c.conn.Write(t.Context(), websocket.MessageText, []byte(subscribe("1", "subscription { endless(pause: 1) { number } }"))) // it may be closed
		for range c.messages {                                                                                                        // until the end
		}
		c.wantClose(t, 4403, "your user is suspended: ask an administrator")
	}
	close(stop)
	<-ended
	s.client.CloseIdleConnections()
	s.stop()
	if err := <-s.stopped; err != nil {
		t.Error(err)
	}
	if watched := s.callers.Watched(); watched != 0 {
		t.Errorf("got %d watches, want none", watched)
	}
	for deadline := time.Now().Add(10 * time.Second); s.schema.Active() > 0 && time.Now().Before(deadline); {
		<-time.After(time.Millisecond) // Subscriptions end just after their streams.
	}
	if active := s.schema.Active(); active != 0 {
		t.Errorf("got %d subscriptions, want none", active)
	}
}

// FuzzConnectionInit sends a secret inside of any payload: the socket is acknowledged, or closed with a reason without the
// secret.
func FuzzConnectionInit(f *testing.F) {
	const secret, maxBuffered = "SECRET7F3A", 3 << 10 // bytes that the server takes in one read, with the rest of the message
	f.Add(`{"Authorization":"Bearer `, `"}`)
	f.Add(`{"Authorization":"Basic `, `"}`)
	f.Add(`{"headers":{"authorization":"Bearer\u00e4`, `","AUTHORIZATION":null}}`)
	f.Add(`{"headers":["`, `"]}`)
	f.Add(`{"`, `":{}}`)
	f.Add(`"`, `"`)
	s := startSite(f, newMemory(), many)
	f.Fuzz(func(t *testing.T, before, after string) {
		if len(before)+len(after) > maxBuffered {
			return // the server ends the connection of a longer message while the client still sends
		}
		c := s.dial(t)
		defer close(c.dropped)
		defer func() { _ = c.conn.CloseNow() }()
		c.send(t, `{"type":"connection_init","payload":`+before+secret+after+`}`)
		if message, open := <-c.messages; open {
			if message != ack {
				t.Fatalf("got %q, want an acknowledgement", message)
			}
			return
		}
		got, ok := errors.AsType[websocket.CloseError](c.err)
		known := got.Code == 4400 || got.Code == 4403 || got.Code == websocket.StatusTryAgainLater || got.Code == websocket.StatusMessageTooBig
		if !ok || !known || got.Reason == "" || strings.Contains(got.Reason, secret) {
			t.Fatalf("got %v, want a code of the protocol with a reason without the secret", c.err)
		}
	})
}

// TestTokenInALink shows that a link with a token does not end in the log.
func TestTokenInALink(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	inBubble(t, logTo(&log), func(t *testing.T, s *site) {
		s.ask(t, http.MethodGet, "/graphql?"+url.Values{"query": {"{ echo }"}, "access_token": {"c2VjcmV0"}}.Encode(), "")
	})
	if !strings.Contains(log.String(), "path=/graphql ") || strings.Contains(log.String(), "c2VjcmV0") {
		t.Errorf("got the log %s, want a line without the token", log.String())
	}
}
