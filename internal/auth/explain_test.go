package auth_test

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"

	"roster/internal/auth"
	"roster/internal/auth/provider"
)

// explained returns the checks that failed, and the text of the whole explanation.
func explained(t *testing.T, v *auth.Verifier, token string) (failed []string, text string) {
	t.Helper()
	x := v.Explain(t.Context(), token)
	claims, err := v.Verify(t.Context(), token)
	if (err == nil) != (x.Err == nil) || err != nil && err.Error() != x.Err.Error() || !reflect.DeepEqual(claims, x.Claims) {
		t.Errorf("got %+v, %v, want what Verify says: %+v, %v", x.Claims, x.Err, claims, err)
	}
	for _, r := range x.Results {
		if r.Outcome == auth.Failed {
			failed = append(failed, r.Check)
		}
	}
	text = fmt.Sprintf("%+v", x.Results)
	if parts := strings.Split(token, "."); len(parts) == 3 && len(parts[2]) > 8 && strings.Contains(text, parts[2]) {
		t.Errorf("got %s, want no signature", text)
	}
	if strings.ContainsAny(text, "\x1b\n\r\x00\u202e") {
		t.Errorf("got %q, want no control characters", text)
	}
	return failed, text
}

// TestExplain tests each check that can fail: with the cure that names the setting, and with all other failures.
func TestExplain(t *testing.T) {
	t.Parallel()
	secret := provider.NewKey(t, "HS256", "")
	v := start(t, auth.Options{Secrets: [][]byte{secret.Secret()}, Clock: noon})
	strict := start(t, auth.Options{Secrets: [][]byte{secret.Secret()}, Clock: noon, RequireAccessToken: true})
	good := secret.Token(valid())
	other := provider.NewKey(t, "HS256", "")
	for name, c := range map[string]struct {
		v      *auth.Verifier
		token  string
		failed []string
		says   []string
	}{
		"valid":              {v, good, nil, []string{`Detail:"MEMBER" at /roles`, `Detail:"alice" at /sub`, "in 1h0m0s"}},
		"too long":           {v, strings.Repeat("a.", 10_000), []string{"form"}, []string{"at most 16384 bytes"}},
		"JSON":               {v, `{"access_token":"` + good + `"}`, []string{"form"}, []string{"access_token alone"}},
		"quotes":             {v, `"` + good + `"`, []string{"form"}, []string{"in quotes"}},
		"white space":        {v, good[:20] + "\n" + good[20:], []string{"form"}, []string{"white space"}},
		"encrypted":          {v, "eyJhbGciOiJkaXIifQ.a.b.c.d", []string{"form"}, []string{"encrypted token"}},
		"opaque":             {v, "CQ3hMB9vb1bGkyYiL4rPmEIFQiPXpYbx", []string{"form"}, []string{"opaque token"}},
		"two parts":          {v, good[:strings.LastIndexByte(good, '.')], []string{"form"}, []string{"three parts"}},
		"binary":             {v, "\x00\xff\x1b[31m", []string{"form"}, nil},
		"header":             {v, secret.Sign(`{"alg":"HS256","crit":["x"]}`, text(t, valid())), []string{"header"}, []string{"unsupported parameter"}},
		"broken header":      {v, secret.Sign(`{`, text(t, with(valid(), "aud", "x"))), []string{"header", "audience"}, []string{"Unsigned:true"}},
		"none":               {v, secret.Sign(`{"alg":"none"}`, text(t, valid())), []string{"algorithm"}, []string{"ROSTER_AUTH_HS256_SECRET", "--auth-discovery (ROSTER_AUTH_DISCOVERY)", "Unsigned:true"}},
		"key ID":             {v, secret.Sign(`{"alg":"HS256","kid":1}`, text(t, valid())), []string{"key ID"}, nil},
		"type":               {v, secret.Sign(`{"alg":"HS256","typ":"logout+jwt"}`, text(t, valid())), []string{"type"}, []string{"access token"}},
		"strict type":        {strict, secret.Sign(`{"alg":"HS256","typ":"JWT"}`, text(t, valid())), []string{"type"}, []string{"--auth-require-at-jwt (ROSTER_AUTH_REQUIRE_AT_JWT)"}},
		"signature":          {v, other.Token(with(valid(), "aud", "x", "exp", 1)), []string{"signature", "audience", "expiry"}, []string{"--auth-hs256-secret-file (ROSTER_AUTH_HS256_SECRET_FILE)", "Unsigned:true"}},
		"claims":             {v, secret.Sign(`{"alg":"HS256"}`, `{"sub":1,"sub":2}`), []string{"claims"}, nil},
		"issuer":             {v, secret.Token(with(valid(), "iss", "https://x/")), []string{"issuer"}, []string{"--auth-issuer (ROSTER_AUTH_ISSUER)", `set it to "https://x/"`}},
		"slash":              {v, secret.Token(with(valid(), "iss", strings.TrimSuffix(issuer, "/"))), []string{"issuer"}, []string{"differ in the slash"}},
		"no issuer":          {v, secret.Token(with(valid(), "iss", absent)), []string{"issuer"}, []string{"claim iss"}},
		"audience":           {v, secret.Token(with(valid(), "aud", "account")), []string{"audience"}, []string{"--auth-audience (ROSTER_AUTH_AUDIENCE)", `"account"`}},
		"an ID token":        {v, secret.Token(with(valid(), "aud", "web", "at_hash", "x")), []string{"audience"}, []string{"looks like an ID token"}},
		"expired":            {v, secret.Token(with(valid(), "exp", noon().Add(-time.Hour).Unix())), []string{"expiry"}, []string{"1h0m0s ago", "clocks"}},
		"no expiry":          {v, secret.Token(with(valid(), "exp", absent)), []string{"expiry"}, []string{"seconds since 1970"}},
		"too early":          {v, secret.Token(with(valid(), "nbf", noon().Add(time.Hour).Unix())), []string{"not before"}, []string{"correct the clocks"}},
		"nbf":                {v, secret.Token(with(valid(), "nbf", "x")), []string{"not before"}, nil},
		"subject":            {v, secret.Token(with(valid(), "sub", absent)), []string{"subject"}, []string{"--auth-subject-claim (ROSTER_AUTH_SUBJECT_CLAIM)"}},
		"roles":              {v, secret.Token(with(valid(), "roles", map[string]any{})), []string{"roles"}, []string{"--auth-roles-claim (ROSTER_AUTH_ROLES_CLAIM)", "zitadel"}},
		"names of no role":   {v, secret.Token(with(valid(), "roles", "staff")), nil, []string{"--auth-role-map (ROSTER_AUTH_ROLE_MAP)"}},
		"no role":            {v, secret.Token(with(valid(), "roles", absent)), nil, []string{"--auth-default-role (ROSTER_AUTH_DEFAULT_ROLE)"}},
		"email":              {v, secret.Token(with(valid(), "email", "a@b.c", "email_verified", "true")), nil, []string{"email_verified is not true"}},
		"verified email":     {v, secret.Token(with(valid(), "email", "a@b.c", "email_verified", true)), nil, []string{`"a@b.c", verified`}},
		"all at once":        {v, other.Token(map[string]any{}), []string{"signature", "issuer", "audience", "expiry", "subject"}, nil},
		"control characters": {v, secret.Token(with(valid(), "sub", "a\x1b[2J\u202eb\nc", "roles", []any{"\x1b"}, "email", "\x1b")), nil, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			failed, text := explained(t, c.v, c.token)
			if !reflect.DeepEqual(failed, c.failed) {
				t.Errorf("got the failures %v, want %v: %s", failed, c.failed, text)
			}
			for _, want := range c.says {
				if !strings.Contains(text, want) {
					t.Errorf("got %s, want %s", text, want)
				}
			}
		})
	}
}

// TestExplainPresets tests the cures of presets.
func TestExplainPresets(t *testing.T) {
	t.Parallel()
	secret := provider.NewKey(t, "HS256", "")
	verifiers := map[string]*auth.Verifier{}
	for _, preset := range auth.PresetNames() {
		verifiers[preset] = startPreset(t, preset, secret, auth.Options{})
	}
	for name, c := range map[string]struct {
		preset, failed string
		change         []any
		says           string
	}{
		"keycloak, audience": {"keycloak", "audience", []any{"aud", "account"}, "a mapper of the type Audience"},
		"keycloak, ID token": {"keycloak", "preset", []any{"typ", "ID"}, "Its typ is ID"},
		"keycloak, no roles": {"keycloak", "", []any{"realm_access", absent}, "/resource_access/CLIENT/roles"},
		"entra, version":     {"entra", "preset", []any{"ver", "1.0"}, "requestedAccessTokenVersion"},
		"entra, audience":    {"entra", "audience", []any{"aud", "api://x"}, "application (client) ID"},
		"entra, overage":     {"entra", "overage", []any{"hasgroups", true}, "emit no groups claim"},
		"entra, email":       {"entra", "", []any{"email_verified", true}, "tokens of entra do not say"},
		"zitadel, audience":  {"zitadel", "audience", []any{"aud", "x"}, "the ID of the project"},
		"zitadel, no roles":  {"zitadel", "", []any{"urn:zitadel:iam:org:project:roles", absent}, "Assert Roles on Authentication"},
		"zitadel, ID token":  {"zitadel", "preset", []any{"jti", absent, "at_hash", "x"}, "looks like an ID token"},
		"auth0, audience":    {"auth0", "audience", []any{"aud", "client"}, "the parameter audience"},
		"auth0, no roles":    {"auth0", "", []any{"permissions", []any{}}, "Add Permissions in the Access Token"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v := verifiers[c.preset]
			failed, text := explained(t, v, secret.SignDocument(user(v, c.change...)))
			if strings.Join(failed, " ") != c.failed || !strings.Contains(text, c.says) {
				t.Errorf("got the failures %v in %s, want %s and %s", failed, text, c.failed, c.says)
			}
		})
	}
	for preset, says := range map[string]string{"auth0": "parameter audience", "zitadel": "access token type", "keycloak": "docs/providers.md"} {
		for _, token := range []string{"opaque", "a.b.c.d.e"} {
			if _, text := explained(t, verifiers[preset], token); !strings.Contains(text, says) {
				t.Errorf("%s, %s: got %s, want %s", preset, token, text, says)
			}
		}
	}
}

// TestExplainModes tests servers that cannot accept the token, whatever it is.
func TestExplainModes(t *testing.T) {
	t.Parallel()
	p := provider.New(t)
	v := follow(t, p)
	if failed, text := explained(t, v, p.Token("alice")); failed != nil || !strings.Contains(text, "by a key of the provider") {
		t.Errorf("got the failures %v in %s, want none", failed, text)
	}
	if failed, text := explained(t, v, provider.NewKey(t, "HS256", "").Token(p.Claims("alice"))); strings.Join(failed, " ") != "algorithm" ||
		!strings.Contains(text, "set ROSTER_AUTH_HS256_SECRET instead of") {
		t.Errorf("got the failures %v in %s, want the algorithm", failed, text)
	}
	if failed, text := explained(t, v, provider.NewKey(t, "ES256", "x").Token(p.Claims("alice"))); strings.Join(failed, " ") != "signature" ||
		!strings.Contains(text, "--auth-jwks-url (ROSTER_AUTH_JWKS_URL)") {
		t.Errorf("got the failures %v in %s, want the signature", failed, text)
	}
	keys := start(t, auth.Options{APIKeysOnly: true})
	x := keys.Explain(t.Context(), p.Token("alice"))
	if len(x.Results) != 1 || x.Err == nil || !strings.Contains(x.Results[0].Cure, "--auth-keys-only (ROSTER_AUTH_KEYS_ONLY)") {
		t.Errorf("got %+v, want the mode alone", x)
	}
	dead := provider.New(t)
	dead.Become(provider.Die)
	token := dead.Token("alice")
	secretive := strings.Replace(dead.KeysURL, "http://", "http://ada:s3cret@", 1) + "?key=s3cret"
	for _, behaviour := range []func(http.ResponseWriter, *http.Request){provider.Die, http.NotFound, provider.Say("s")} {
		dead.Become(behaviour)
		x := start(t, auth.Options{KeysURL: secretive, Issuer: dead.Issuer}).Explain(t.Context(), token)
		if text := fmt.Sprintf("%+v", x); !errors.Is(x.Err, auth.ErrUnavailable) || strings.Contains(text, "s3cret") {
			t.Errorf("got %s, want ErrUnavailable without secrets", text)
		}
	}
	dead.Become(provider.Die)
	for _, o := range []auth.Options{{KeysURL: dead.KeysURL, Issuer: dead.Issuer}, {Discovery: true, Issuer: dead.Issuer}} {
		x := start(t, o).Explain(t.Context(), token)
		if !errors.Is(x.Err, auth.ErrUnavailable) || !strings.Contains(fmt.Sprintf("%+v", x), "--auth-") {
			t.Errorf("got %+v, want ErrUnavailable", x)
		}
	}
}

// FuzzExplain explains any text, and any signed header and payload, with every preset. It must agree with Verify, and print
// neither control characters nor a signature.
func FuzzExplain(f *testing.F) {
	secret := provider.NewKey(f, "HS256", "")
	var verifiers []*auth.Verifier
	for _, preset := range append(auth.PresetNames(), "") {
		o := auth.Options{Preset: preset, Issuer: issuers()[preset], Secrets: [][]byte{secret.Secret()}, Clock: noon}
		v := start(f, o)
		verifiers = append(verifiers, v)
		for _, d := range provider.Documents(preset, v.Issuer, noon(), "ADMIN") {
			f.Add(`{"alg":"HS256"}`, text(f, d.Claims), "")
		}
	}
	f.Add(`{"alg":"HS256","kid":"\u001b"}`, `{"_claim_names":"x","aud":["\u202e"]}`, "a.b.c.d.e")
	f.Fuzz(func(t *testing.T, header, payload, token string) {
		for _, v := range verifiers {
			for _, token := range []string{secret.Sign(header, payload), token} {
				x := v.Explain(t.Context(), token)
				claims, err := v.Verify(t.Context(), token)
				if (err == nil) != (x.Err == nil) || err != nil && err.Error() != x.Err.Error() || !reflect.DeepEqual(claims, x.Claims) {
					t.Fatalf("%s: got %+v, %v, want what Verify says: %+v, %v", v.Preset, x.Claims, x.Err, claims, err)
				}
				for _, r := range x.Results {
					for _, c := range r.Detail + r.Cure {
						if c < ' ' || c == 0x7f || c == 0x202e {
							t.Fatalf("%s: got the character %q in %+v, want none", v.Preset, c, r)
						}
					}
				}
				if parts := strings.Split(token, "."); len(parts) == 3 && len(parts[2]) == base64.RawURLEncoding.EncodedLen(32) &&
					!strings.Contains(payload+header, parts[2]) && strings.Contains(fmt.Sprint(x.Results), parts[2]) {
					t.Fatalf("%s: got %+v, want no signature", v.Preset, x.Results)
				}
			}
		}
	})
}
