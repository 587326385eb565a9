package auth_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"roster/internal/auth"
	"roster/internal/auth/provider"
)

// clock is a clock that stands still unless a test advances it.
type clock struct{ nanoseconds atomic.Int64 }

func newClock() *clock {
	c := &clock{}
	c.nanoseconds.Store(time.Now().UnixNano())
	return c
}

func (c *clock) now() time.Time          { return time.Unix(0, c.nanoseconds.Load()) }
func (c *clock) advance(d time.Duration) { c.nanoseconds.Add(int64(d)) }

// follow returns a running Verifier with the keys of a provider.
func follow(t testing.TB, p *provider.Provider) *auth.Verifier {
	t.Helper()
	return start(t, auth.Options{KeysURL: p.KeysURL, Issuer: p.Issuer})
}

func wantFetches(t *testing.T, p *provider.Provider, want int) {
	t.Helper()
	if got := p.Fetches(); got != want {
		t.Errorf("got %d fetches, want %d", got, want)
	}
}

func wantUnavailable(t *testing.T, v *auth.Verifier, token string) {
	t.Helper()
	if claims, err := v.Verify(t.Context(), token); !errors.Is(err, auth.ErrUnavailable) {
		t.Errorf("got %+v, %v, want ErrUnavailable", claims, err)
	}
}

func TestAlgorithms(t *testing.T) {
	t.Parallel()
	algorithms := []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"}
	p := provider.New(t)
	var keys []*provider.Key
	for i, algorithm := range algorithms {
		key := &provider.Key{ID: algorithm, Algorithm: algorithm}
		if i > 0 && i < 6 {
			key.Private = keys[0].Private // RSA keys are slow to make
		} else {
			key.Private = provider.NewKey(t, algorithm, "").Private
		}
		keys = append(keys, key)
	}
	p.Publish(keys...)
	v := follow(t, p)
	for i, key := range keys {
		wantSubject(t, v, key.Token(p.Claims("alice")), "alice")
		forged := *provider.NewKey(t, "ES256", key.ID)
		header := text(t, map[string]any{"alg": key.Algorithm, "kid": key.ID})
		wantInvalid(t, v, forged.Sign(header, text(t, p.Claims("alice"))), badSignature)
		// The published key is for its algorithm alone.
		other := *key
		other.Algorithm = algorithms[(i+1)%6]
		if i < 6 {
			wantInvalid(t, v, other.Token(p.Claims("alice")), badSignature)
		}
	}
	wantFetches(t, p, 1)
}

// TestKeySets tests which published keys verify tokens.
func TestKeySets(t *testing.T) {
	t.Parallel()
	rsaKey, ecKey, edKey := provider.NewKey(t, "RS256", "rsa"), provider.NewKey(t, "ES256", "ec"), provider.NewKey(t, "EdDSA", "ed")
	short, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	shortKey := &provider.Key{ID: "short", Algorithm: "RS256", Private: short}
	secret := provider.NewKey(t, "HS256", "secret")
	none := func(key *provider.Key) *provider.Key {
		return &provider.Key{Algorithm: key.Algorithm, Private: key.Private}
	}
	pss := &provider.Key{ID: "rsa", Algorithm: "PS512", Private: rsaKey.Private}
	strange := []any{
		1, nil, "key",
		[]any{},
		map[string]any{},
		map[string]any{"kty": "RSA"},
		map[string]any{"kty": "RSA", "n": "AQ", "e": "AQAB", "kid": "ec"},
		map[string]any{"kty": "AKP", "alg": "ML-DSA-44", "pub": "AA"},
		map[string]any{"kty": "OKP", "crv": "X25519", "x": "AA"},
		map[string]any{"kty": "OKP", "crv": "Ed448", "x": "AA"},
		map[string]any{"kty": "EC", "crv": "secp256k1", "x": "AA", "y": "AA"},
		map[string]any{"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"},
		map[string]any{"kty": 5},
		map[string]any{"kty": "new"},
	}
	for name, c := range map[string]struct {
		published []any
		signer    *provider.Key
		valid     bool
	}{
		"beside unknown kinds":       {append(slices.Clip(strange), ecKey.Public()), ecKey, true},
		"encryption":                 {[]any{with(ecKey.Public(), "use", "enc")}, ecKey, false},
		"encryption algorithm":       {[]any{with(rsaKey.Public(), "alg", "RSA-OAEP", "use", absent)}, rsaKey, false},
		"operations":                 {[]any{with(ecKey.Public(), "key_ops", []any{"verify"}, "use", absent)}, ecKey, true},
		"other operations":           {[]any{with(ecKey.Public(), "key_ops", []any{"deriveKey"}, "use", absent)}, ecKey, false},
		"broken operations":          {[]any{with(ecKey.Public(), "key_ops", "verify")}, ecKey, false},
		"secret":                     {[]any{secret.Public()}, secret, false},
		"RSA with 1024 bits":         {[]any{shortKey.Public()}, shortKey, false},
		"without use":                {[]any{with(ecKey.Public(), "use", absent)}, ecKey, true},
		"without an algorithm":       {[]any{with(rsaKey.Public(), "alg", absent)}, rsaKey, true},
		"PSS without an algorithm":   {[]any{with(rsaKey.Public(), "alg", absent)}, pss, true},
		"PSS with another algorithm": {[]any{rsaKey.Public()}, pss, false},
		"EdDSA":                      {[]any{with(edKey.Public(), "alg", absent)}, edKey, true},
		"no ID in the token":         {[]any{rsaKey.Public(), ecKey.Public(), edKey.Public()}, none(ecKey), true},
		"no ID in the key":           {[]any{none(rsaKey).Public(), none(ecKey).Public()}, ecKey, true},
		"no ID in both":              {[]any{none(rsaKey).Public(), none(ecKey).Public()}, none(rsaKey), true},
		"another ID":                 {[]any{with(ecKey.Public(), "kid", "other")}, ecKey, false},
		"two keys of one ID":         {[]any{with(provider.NewKey(t, "ES256", "").Public(), "kid", "ec"), ecKey.Public()}, ecKey, true},
		"a number as the ID":         {[]any{with(ecKey.Public(), "kid", 1)}, ecKey, false},
		"a bad certificate":          {[]any{with(ecKey.Public(), "x5c", []any{"AAAA"}, "x5t", "!", "x5t#S256", "A", "x5u", "\x7f")}, ecKey, true},
		"a private key": {
			[]any{with(edKey.Public(), "d", base64.RawURLEncoding.EncodeToString(private(t, edKey)))}, edKey, false,
		},
		"a weak key":  {[]any{with(edKey.Public(), "x", strings.Repeat("A", 43))}, edKey, false},
		"other case":  {[]any{with(ecKey.Public(), "kty", absent, "KTY", "EC")}, ecKey, false},
		"no keys":     {[]any{}, ecKey, false},
		"a large set": {append(many(t, 100), ecKey.Public()), ecKey, true},
		// Each try costs time, and the token chooses their number.
		"too many tries": {append(many(t, 8), ecKey.Public()), none(ecKey), false},
		"enough tries":   {append(many(t, 7), ecKey.Public()), none(ecKey), true},
		"the ID first":   {append(nameless(many(t, 8)), ecKey.Public()), ecKey, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := provider.New(t)
			p.PublishMembers(c.published...)
			v := follow(t, p)
			token := c.signer.Token(p.Claims("alice"))
			switch {
			case c.valid:
				wantSubject(t, v, token, "alice")
			case c.signer == secret:
				wantInvalid(t, v, token, badAlgorithm)
			default:
				wantInvalid(t, v, token, badSignature)
			}
		})
	}
}

// private returns the private bytes of an Ed25519 key.
func private(t *testing.T, k *provider.Key) []byte {
	t.Helper()
	key, ok := k.Private.(interface{ Seed() []byte })
	if !ok {
		t.Fatalf("got %T, want an Ed25519 key", k.Private)
	}
	return key.Seed()
}

// many returns n published keys with IDs that are before those of the tests.
func many(t *testing.T, n int) []any {
	t.Helper()
	keys := make([]any, n)
	for i := range keys {
		keys[i] = provider.NewKey(t, "ES256", fmt.Sprintf("z%d", i)).Public()
	}
	return keys
}

// nameless removes the IDs of keys.
func nameless(keys []any) []any {
	for i, key := range keys {
		if members, ok := key.(map[string]any); ok {
			keys[i] = with(members, "kid", absent)
		}
	}
	return keys
}

func TestDiscovery(t *testing.T) {
	t.Parallel()
	for _, path := range []string{"", "/", "/realms/staff", "/realms/staff/", "/a/b/v2.0"} {
		t.Run(path, func(t *testing.T) {
			t.Parallel()
			p := provider.New(t)
			p.Move(path)
			v := start(t, auth.Options{Discovery: true, Issuer: p.Issuer})
			wantSubject(t, v, p.Token("alice"), "alice")
			if p.Discoveries() != 1 || p.Fetches() != 1 {
				t.Errorf("got %d discoveries and %d fetches, want 1 and 1", p.Discoveries(), p.Fetches())
			}
		})
	}
}

func TestDiscoveryRefuses(t *testing.T) {
	t.Parallel()
	for name, document := range map[string]func(p *provider.Provider) any{
		"another issuer": func(p *provider.Provider) any {
			return map[string]any{"issuer": "http://evil.example", "jwks_uri": p.KeysURL}
		},
		"a slash more":          func(p *provider.Provider) any { return map[string]any{"issuer": p.Issuer + "/", "jwks_uri": p.KeysURL} },
		"no issuer":             func(p *provider.Provider) any { return map[string]any{"jwks_uri": p.KeysURL} },
		"an issuer in capitals": func(p *provider.Provider) any { return map[string]any{"ISSUER": p.Issuer, "jwks_uri": p.KeysURL} },
		"no address":            func(p *provider.Provider) any { return map[string]any{"issuer": p.Issuer} },
		"an address with http": func(p *provider.Provider) any {
			return map[string]any{"issuer": p.Issuer, "jwks_uri": "http://192.0.2.1/keys"}
		},
		"a file":    func(p *provider.Provider) any { return map[string]any{"issuer": p.Issuer, "jwks_uri": "file:///keys"} },
		"a number":  func(p *provider.Provider) any { return map[string]any{"issuer": p.Issuer, "jwks_uri": 1} },
		"no object": func(*provider.Provider) any { return []any{} },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := provider.New(t)
			p.Become(provider.Say(document(p)))
			v := start(t, auth.Options{Discovery: true, Issuer: p.Issuer})
			wantUnavailable(t, v, p.Token("alice"))
			wantFetches(t, p, 0)
		})
	}
}

func TestRedirects(t *testing.T) {
	t.Parallel()
	p := provider.New(t)
	var requests atomic.Int64
	redirect := func(to string) *auth.Verifier {
		requests.Store(0)
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			requests.Add(1)
			http.Redirect(w, r, to, http.StatusFound)
		}))
		t.Cleanup(server.Close)
		return start(t, auth.Options{KeysURL: server.URL, Issuer: p.Issuer})
	}
	wantSubject(t, redirect(p.KeysURL), p.Token("alice"), "alice")
	wantUnavailable(t, redirect("http://192.0.2.1/keys"), p.Token("alice"))
	wantUnavailable(t, redirect("ftp://127.0.0.1/keys"), p.Token("alice"))
	wantUnavailable(t, redirect("/"), p.Token("alice"))
	// The token waits for the fetch at the start, or causes another one.
	if got := requests.Load(); got != 6 && got != 12 {
		t.Errorf("got %d requests, want 6 for each fetch", got)
	}
}

// TestHTTPS checks that keys that are protected on their way stay so: neither a redirect nor discovery leads to http.
func TestHTTPS(t *testing.T) {
	t.Parallel()
	p := provider.New(t)
	var server *httptest.Server
	server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/keys":
			p.ServeHTTP(w, r)
		case "/redirect":
			http.Redirect(w, r, p.KeysURL, http.StatusFound)
		default:
			provider.Say(map[string]any{"issuer": server.URL, "jwks_uri": p.KeysURL})(w, r)
		}
	}))
	t.Cleanup(server.Close)
	for _, o := range []auth.Options{
		{Issuer: server.URL, KeysURL: server.URL + "/keys"},
		{Issuer: server.URL, KeysURL: server.URL + "/redirect"},
		{Issuer: server.URL, Discovery: true},
	} {
		before := p.Fetches()
		v := start(t, o, func(v *auth.Verifier) { v.SetTransport(server.Client().Transport) })
		token := provider.NewKey(t, "ES256", "other").Token(p.Claims("alice"))
		if strings.HasSuffix(o.KeysURL, "/keys") {
			wantInvalid(t, v, token, badSignature)
		} else {
			wantUnavailable(t, v, token)
			wantFetches(t, p, before)
		}
	}
}

// TestBadAnswers checks that a provider that fails or lies does not take away the keys.
func TestBadAnswers(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]http.HandlerFunc{
		"dead":    provider.Die,
		"endless": provider.Flood,
		"2 MiB":   provider.Say(map[string]any{"keys": []any{}, "x": strings.Repeat("x", 2<<20)}),
		"an error": func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, `{"keys":[]}`, http.StatusInternalServerError)
		},
		"nothing": func(http.ResponseWriter, *http.Request) {},
		"2 MiB of blanks": func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprint(w, `{"keys":[]}`+strings.Repeat(" ", 2<<20))
		},
		"created": func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusCreated)
			fmt.Fprint(w, `{"keys":[]}`)
		},
		"HTML":              func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<html>") },
		"no keys":           provider.Say(map[string]any{}),
		"null":              provider.Say(map[string]any{"keys": nil}),
		"an object of keys": provider.Say(map[string]any{"keys": map[string]any{}}),
		"a list":            provider.Say([]any{}),
		"keys twice":        func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"keys":[],"keys":[]}`) },
		"a part": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			fmt.Fprint(w, `{"keys":[]}`)
		},
		"large headers": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X", strings.Repeat("x", 100<<10))
			fmt.Fprint(w, `{"keys":[]}`)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := provider.New(t)
			v := follow(t, p)
			token := p.Token("alice")
			wantSubject(t, v, token, "alice")
			p.Become(answer)
			wantInvalid(t, v, provider.NewKey(t, "ES256", "unknown").Token(p.Claims("alice")), badSignature)
			wantFetches(t, p, 2)
			wantSubject(t, v, token, "alice")
			wantSubject(t, v, p.Token("bob"), "bob")
		})
	}
}

// TestUnknownKeys sends a thousand tokens at once whose key IDs are random.
func TestUnknownKeys(t *testing.T) {
	t.Parallel()
	p := provider.New(t)
	v := start(t, auth.Options{KeysURL: p.KeysURL, Issuer: p.Issuer, Clock: newClock().now})
	wantSubject(t, v, p.Token("alice"), "alice")
	forger := provider.NewKey(t, "ES256", "")
	claims := p.Claims("alice", "ADMIN")
	var tokens sync.WaitGroup
	for range 1000 {
		tokens.Go(func() {
			key := provider.Key{ID: rand.Text(), Algorithm: forger.Algorithm, Private: forger.Private}
			wantInvalid(t, v, key.Token(claims), badSignature)
		})
	}
	tokens.Wait()
	wantFetches(t, p, 2)
}

// TestForgedSignature checks that a known key ID with another signature causes no fetch.
func TestForgedSignature(t *testing.T) {
	t.Parallel()
	p := provider.New(t)
	v := follow(t, p)
	wantSubject(t, v, p.Token("alice"), "alice")
	wantInvalid(t, v, provider.NewKey(t, "ES256", "key 1").Token(p.Claims("alice")), badSignature)
	wantFetches(t, p, 1)
}

// TestNewKey checks that a new key works at once, and when the next unknown key causes a fetch.
func TestNewKey(t *testing.T) {
	t.Parallel()
	for _, id := range []string{"key 2", ""} {
		t.Run(id, func(t *testing.T) {
			t.Parallel()
			c := newClock()
			p := provider.New(t)
			v := start(t, auth.Options{KeysURL: p.KeysURL, Issuer: p.Issuer, Clock: c.now})
			old := p.Token("alice")
			wantSubject(t, v, old, "alice")
			p.Publish(provider.NewKey(t, "ES256", id))
			wantSubject(t, v, p.Token("alice"), "alice")
			wantInvalid(t, v, old, badSignature) // the fetch has removed its key
			p.Publish(provider.NewKey(t, "ES256", "key 3"))
			wantInvalid(t, v, p.Token("alice"), badSignature)
			wantFetches(t, p, 2)
			c.advance(10 * time.Second)
			wantSubject(t, v, p.Token("alice"), "alice")
			wantFetches(t, p, 3)
		})
	}
}

// TestGoodTokensPass checks that a fetch stops only those tokens that need it.
func TestGoodTokensPass(t *testing.T) {
	t.Parallel()
	p := provider.New(t)
	v := follow(t, p)
	old, oldest := p.Token("alice"), p.Token("old")
	wantSubject(t, v, old, "alice")
	asked, release := make(chan struct{}), make(chan struct{})
	key := provider.NewKey(t, "ES256", "key 2")
	p.Become(func(w http.ResponseWriter, r *http.Request) {
		close(asked)
		<-release
		provider.Say(map[string]any{"keys": []any{key.Public()}})(w, r)
	})
	var waiting sync.WaitGroup
	waiting.Go(func() { wantSubject(t, v, key.Token(p.Claims("bob")), "bob") })
	<-asked
	wantSubject(t, v, old, "alice")  // from the cache
	wantSubject(t, v, oldest, "old") // verified
	ctx, cancel := context.WithCancel(t.Context())
	waiting.Go(func() {
		if _, err := v.Verify(ctx, key.Token(p.Claims("bob"))); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v, want %v", err, context.Canceled)
		}
		close(release)
	})
	cancel()
	waiting.Wait()
	wantFetches(t, p, 2)
}

// TestRefresh checks the times of fetches. The time in a bubble passes while all its goroutines wait; the provider is
// outside of it.
func TestRefresh(t *testing.T) {
	t.Parallel()
	p := provider.New(t)
	first, second := provider.NewKey(t, "ES256", "first"), provider.NewKey(t, "ES256", "second")
	p.Publish(first, second)
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		v := start(t, auth.Options{KeysURL: p.KeysURL, Issuer: p.Issuer, Logger: slog.New(slog.NewTextHandler(&log, nil))})
		tokens := []string{first.Token(p.Claims("alice")), second.Token(p.Claims("bob"))}
		wantSubject(t, v, tokens[0], "alice")
		wantSubject(t, v, tokens[1], "bob")
		p.Publish(second)
		pass(10*time.Minute - 1)
		wantSubject(t, v, tokens[0], "alice")
		wantFetches(t, p, 1)
		pass(2)
		wantFetches(t, p, 2)
		wantInvalid(t, v, tokens[0], badSignature) // causes a fetch
		wantSubject(t, v, tokens[1], "bob")
		wantFetches(t, p, 3)
		pass(10*time.Minute + 1)
		wantFetches(t, p, 4)
		// The last two fetches have brought the same keys, so the cache has kept its tokens.
		if got := strings.Count(log.String(), "fetched new keys"); got != 2 {
			t.Errorf("got %d new sets of keys, want 2: %s", got, log.String())
		}
	})
}

// TestProviderDies checks how long keys work without the provider.
func TestProviderDies(t *testing.T) {
	t.Parallel()
	p := provider.New(t)
	synctest.Test(t, func(t *testing.T) {
		v := follow(t, p)
		claims := with(p.Claims("alice"), "exp", time.Now().Add(48*time.Hour).Unix())
		key := provider.NewKey(t, "ES256", "key 1")
		p.Publish(key)
		token := key.Token(claims)
		wantSubject(t, v, token, "alice")
		p.Become(provider.Die)
		pass(24*time.Hour - 1)
		wantSubject(t, v, token, "alice")
		wantSubject(t, v, key.Token(p.Claims("bob")), "bob")
		pass(1)
		wantUnavailable(t, v, token)
		wantUnavailable(t, v, key.Token(p.Claims("bob")))
		p.Become(nil)
		pass(time.Minute)
		wantSubject(t, v, token, "alice")
	})
}

// TestNoKeysYet checks a server that starts before its provider.
func TestNoKeysYet(t *testing.T) {
	t.Parallel()
	p := provider.New(t)
	p.Become(provider.Die)
	synctest.Test(t, func(t *testing.T) {
		v := follow(t, p)
		for range 100 {
			wantUnavailable(t, v, p.Token("alice"))
		}
		wantFetches(t, p, 2) // at the start, and for the first token after it
		p.Become(nil)
		pass(10 * time.Second)
		wantSubject(t, v, p.Token("alice"), "alice")
		wantFetches(t, p, 3)
	})
}

// TestRetry checks that keys come without a token that needs them, soon after the provider does.
func TestRetry(t *testing.T) {
	t.Parallel()
	p := provider.New(t)
	p.Become(provider.Die)
	synctest.Test(t, func(t *testing.T) {
		follow(t, p)
		pass(time.Minute - 1)
		wantFetches(t, p, 1)
		p.Become(nil)
		pass(2)
		wantFetches(t, p, 2)
		pass(10*time.Minute - 3)
		wantFetches(t, p, 2)
		pass(2)
		wantFetches(t, p, 3)
	})
}

// pass waits in a bubble, where it takes no time, until the work of that time is done.
func pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

// TestStopped checks that no token waits for a Verifier that has stopped.
func TestStopped(t *testing.T) {
	t.Parallel()
	p := provider.New(t)
	v, err := auth.New(auth.Options{KeysURL: p.KeysURL, Issuer: p.Issuer, Audience: provider.Audience})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	v.Run(ctx)
	wantUnavailable(t, v, p.Token("alice"))
	wantFetches(t, p, 0)
}
