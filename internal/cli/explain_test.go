package cli_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"
	"unicode/utf8"

	"roster/internal/auth/provider"
	"roster/internal/cli"
)

// explain runs roster token explain with a secret, unless it is empty, and with an input.
func explain(t *testing.T, secret []byte, input io.Reader, flags ...string) (code int, stdout, stderr string) {
	t.Helper()
	getenv := func(name string) string { return map[string]string{"ROSTER_AUTH_HS256_SECRET": string(secret)}[name] }
	var out, err bytes.Buffer
	code = cli.Run(t.Context(), slices.Concat([]string{"token", "explain"}, flags), getenv, input, &out, &err, "1.2.3")
	return code, out.String(), err.String()
}

// TestTokenExplain passes tokens, and texts that are none, to the command.
func TestTokenExplain(t *testing.T) {
	t.Parallel()
	key := provider.NewKey(t, "HS256", "")
	const issuer = "https://idp.test/"
	claims := func(pairs ...any) map[string]any {
		c := map[string]any{
			"iss": issuer, "aud": "roster", "sub": "ada", "roles": []string{"MEMBER"}, "exp": time.Now().Add(time.Hour).Unix(),
			"email": "ada@example.com", "email_verified": true,
		}
		for i := 0; i < len(pairs); i += 2 {
			name, _ := pairs[i].(string)
			c[name] = pairs[i+1]
		}
		return c
	}
	good := key.Token(claims())
	for _, test := range []struct {
		name, input, flags string
		code               int
		stdout             []string
		stderr             string
	}{
		{"a token", good, "", 0, []string{"ACCEPTED until ", ", in ", `issuer   "https://idp.test/"`, `subject  "ada"`, "roles    MEMBER", "--auth-link-by-email is off", "a MEMBER, if a user has"}, ""},
		{"Bearer", "  bearer \t" + good + "\r\n\n", "", 0, []string{"ACCEPTED"}, ""},
		{"a header", "Authorization: Bearer " + good + "\n", "", 0, []string{"ACCEPTED"}, ""},
		{"linking", good, "--auth-link-by-email", 0, []string{`email    "ada@example.com": the caller gets the user`}, ""},
		{"an ADMIN", key.Token(claims("roles", "boss")), "--auth-role-map=boss=ADMIN", 0, []string{"an ADMIN, who may do everything"}, ""},
		{"no role", key.Token(claims("roles", nil)), "", 0, []string{"roles    none", "without a role: it may select viewer alone"}, ""},
		{"the longest token", key.Token(claims("pad", strings.Repeat("a", 11_900))) + strings.Repeat("\n", 1000), "", 0, []string{"ACCEPTED"}, ""},
		{"another audience", good, "--auth-audience=other", 1, []string{"FAILS  audience", "--auth-audience (ROSTER_AUTH_AUDIENCE)", "REFUSED. The first check that fails: audience.\nThe server answers 401 UNAUTHENTICATED: the token is for another audience."}, "roster: the token is refused\n"},
		{"all that is wrong", key.Token(claims("aud", "x", "exp", 1, "sub", 1)), "--auth-issuer=https://other.test/", 1, []string{"FAILS  issuer", "FAILS  audience", "FAILS  expiry", "FAILS  subject", "fails: issuer."}, "roster: the token is refused\n"},
		{"a forged token", provider.NewKey(t, "HS256", "").Token(claims()), "", 1, []string{"FAILS  signature", "anybody can have written the claims below", "fails: signature."}, "roster: the token is refused\n"},
		{"the ID of an API key", key.Token(claims("sub", "api_key_01jvsz5r0xe3k8m1p4s6t9w2yb")), "", 1, []string{"fails: subject.", "the subject of the token is the ID of an API key"}, "roster: the token is refused\n"},
		{"an encrypted token", "eyJhbGciOiJkaXIifQ..a.b.c", "", 1, []string{"encrypted token"}, "roster: the token is refused\n"},
		{"an opaque token", "CQ3hMB9vb1bGkyYiL4rPmEIFQiPXpYbx", "", 1, []string{"opaque token"}, "roster: the token is refused\n"},
		{"an answer", `{ "access_token": "` + good + `" }`, "", 1, []string{"access_token alone"}, "roster: the token is refused\n"},
		{"a quoted token", `"` + good + `"`, "", 1, []string{"jq -r"}, "roster: the token is refused\n"},
		{"a mebibyte", strings.Repeat("a", 1<<20), "", 1, []string{"at most 16384 bytes"}, "roster: the token is refused\n"},
		{"a mebibyte of lines", strings.Repeat("a\n", 1<<19), "", 2, nil, "texts: pass one token, in one line; see roster token explain --help\n"},
		{"binary", "\x00\x01\xff \x1b[2J\x80", "", 1, []string{"FAILS  form"}, "roster: the token is refused\n"},
		{"an API key", "Bearer rost_4mLqZ0cYk2WvTn8bRxJd5HsE1aAgUo6PiFw", "", 1, []string{"an API key, not a token", "wrong: copy all of it"}, "roster: an API key is not a token\n"},
		{"nothing", "", "", 2, nil, "the standard input has no token"},
		{"white space", " \n\t\r\n", "", 2, nil, "the standard input has no token"},
		{"Bearer alone", "Bearer\n", "", 2, nil, "the standard input has no token"},
		{"two tokens", good + "\n" + good, "", 2, nil, "the standard input has 2 texts: pass one token, in one line"},
		{"a wrapped token", good[:60] + "\n" + good[60:120] + "\n" + good[120:], "", 2, nil, "has 3 texts"},
		{"no issuer", good, "--auth-issuer=", 2, nil, "--auth-issuer must be the issuer"},
		{"two modes", good, "--auth-discovery", 2, nil, "cannot be set together"},
		{"an argument", good, good, 2, nil, "pass the token on the standard input, and not as an argument"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			flags := append([]string{"--auth-issuer=" + issuer, "--auth-audience=roster"}, strings.Fields(test.flags)...)
			code, stdout, stderr := explain(t, key.Secret(), strings.NewReader(test.input), flags...)
			if code != test.code || !strings.Contains(stderr, test.stderr) || test.stderr == "" && stderr != "" || (stdout == "") != (code == 2) {
				t.Errorf("got code %d, stderr %q, stdout\n%s\nwant code %d and %q", code, stderr, stdout, test.code, test.stderr)
			}
			for _, want := range test.stdout {
				if !strings.Contains(stdout, want) {
					t.Errorf("got\n%s\nwant %q", stdout, want)
				}
			}
			for _, hidden := range []string{good[strings.LastIndexByte(good, '.')+1:], good[:30], string(key.Secret())} {
				if strings.Contains(stdout, hidden) || strings.Contains(stderr, hidden) {
					t.Errorf("got %s%s, want neither a token nor a secret", stdout, stderr)
				}
			}
			if !utf8.ValidString(stdout) || strings.ContainsAny(stdout, "\x1b\x00\r") || strings.Count(stderr, "\n") > 1 {
				t.Errorf("got %q, %q, want no control characters, and one line", stdout, stderr)
			}
		})
	}
}

// TestTokenExplainAPIKey passes a key of the right form.
func TestTokenExplainAPIKey(t *testing.T) {
	t.Parallel()
	database := "--database-url=sqlite:" + filepath.Join(t.TempDir(), "roster.db")
	_, secret, _ := run(t, "keys", "create", "--name=a", "--role=MEMBER", database)
	code, stdout, stderr := explain(t, nil, strings.NewReader(secret), "--auth-keys-only")
	if code != 1 || !strings.Contains(stdout, "Its form and its checksum are right. Its prefix is "+secret[:11]) || strings.Contains(stdout+stderr, secret[:20]) {
		t.Errorf("got code %d, stdout %q, stderr %q, want code 1 and the prefix", code, stdout, stderr)
	}
}

// TestTokenExplainSettings has settings without tokens, and inputs that cannot be read.
func TestTokenExplainSettings(t *testing.T) {
	t.Parallel()
	code, stdout, stderr := explain(t, nil, strings.NewReader("a.b.c"))
	if code != 2 || stdout != "" || !strings.Contains(stderr, "no authentication: set --auth-preset, --auth-discovery") {
		t.Errorf("no settings: got code %d, %q, %q, want code 2", code, stdout, stderr)
	}
	code, stdout, stderr = explain(t, nil, strings.NewReader("a.b.c"), "--auth-keys-only")
	if code != 1 || !strings.Contains(stdout, "--auth-keys-only (ROSTER_AUTH_KEYS_ONLY)") || strings.Contains(stdout, "form") {
		t.Errorf("keys only: got code %d, %q, %q, want code 1 and the mode alone", code, stdout, stderr)
	}
	code, stdout, stderr = explain(t, nil, iotest.ErrReader(errors.New("broken")), "--auth-keys-only")
	if code != 2 || stdout != "" || !strings.Contains(stderr, "the standard input cannot be read: broken") {
		t.Errorf("an input that breaks: got code %d, %q, %q, want code 2", code, stdout, stderr)
	}
	closed, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	// A device such as /dev/null looks like a terminal: the command says what it expects.
	code, stdout, stderr = explain(t, nil, closed, "--auth-keys-only")
	if code != 2 || stdout != "" || !strings.HasPrefix(stderr, "Paste a token, press Enter, and end the input with Ctrl-D.\n") {
		t.Errorf("a device: got code %d, %q, %q, want code 2 and what to do", code, stdout, stderr)
	}
	if err := closed.Close(); err != nil {
		t.Fatal(err)
	}
	code, stdout, stderr = explain(t, nil, closed, "--auth-keys-only")
	if code != 2 || stdout != "" || !strings.Contains(stderr, "the standard input cannot be read: ") || strings.Contains(stderr, os.DevNull) {
		t.Errorf("a closed input: got code %d, %q, %q, want code 2", code, stdout, stderr)
	}
}

// TestTokenExplainProvider fetches the keys of a provider, by a preset alone. A provider that does not answer is an answer
// too.
func TestTokenExplainProvider(t *testing.T) {
	t.Parallel()
	p := provider.New(t)
	p.Be("keycloak")
	documents := provider.Documents("keycloak", p.Issuer, time.Now(), "ADMIN")
	flags := []string{"--auth-preset=keycloak", "--auth-issuer=" + p.Issuer, "--auth-audience=roster"}
	code, stdout, stderr := explain(t, nil, strings.NewReader(p.Sign(documents[0])), flags...)
	if code != 0 || !strings.Contains(stdout, "ok     preset      an access token of keycloak\n") || !strings.Contains(stdout, "roles    ADMIN\n") || stderr != "" {
		t.Errorf("got code %d, stderr %q, stdout\n%s\nwant an ADMIN", code, stderr, stdout)
	}
	flags[0] = "--auth-preset=auth0"
	code, stdout, stderr = explain(t, nil, strings.NewReader(p.Sign(documents[0])), flags...)
	if code != 1 || !strings.Contains(stdout, "FAILS  preset      the token is not an access token of the preset auth0") ||
		!strings.Contains(stdout, "WARNING: the issuer of --auth-issuer (ROSTER_AUTH_ISSUER)") || !strings.Contains(stdout, "change --auth-preset (ROSTER_AUTH_PRESET)") {
		t.Errorf("another preset: got code %d, stderr %q, stdout\n%s\nwant a refusal", code, stderr, stdout)
	}
	p.Become(provider.Die)
	code, stdout, stderr = explain(t, nil, strings.NewReader(p.Sign(documents[0])), flags...)
	if code != 1 || !strings.Contains(stdout, "FAILS  signature") || !strings.Contains(stdout, "503 UNAVAILABLE") || !strings.Contains(stdout, "comes from --auth-issuer (ROSTER_AUTH_ISSUER)") {
		t.Errorf("a dead provider: got code %d, stderr %q, stdout\n%s\nwant 503", code, stderr, stdout)
	}
}

// FuzzBareToken tests that what surrounds a token does not matter.
func FuzzBareToken(f *testing.F) {
	f.Add("a.b.c")
	f.Add("Bearer a.b.c\r\n")
	f.Add("authorization:bEARER  a")
	f.Add("Bearer")
	f.Fuzz(func(t *testing.T, input string) {
		token := cli.BareToken(input)
		if !strings.Contains(input, token) || strings.TrimSpace(token) != token {
			t.Fatalf("%q: got %q, want a part without white space around it", input, token)
		}
		for _, before := range []string{"", "Bearer ", "Authorization: Bearer ", "AUTHORIZATION:bearer\t", "\n"} {
			if got := cli.BareToken(before + token + "\n"); len(strings.Fields(token)) == 1 && !strings.EqualFold(token, "Bearer") && !strings.HasPrefix(strings.ToLower(token), "authorization:") && got != token {
				t.Fatalf("%q after %q: got %q, want the same", token, before, got)
			}
		}
	})
}
