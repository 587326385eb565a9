package auth_test

import (
	"bytes"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"log/slog"
	"reflect"
	"strings"
	"testing"
	"time"

	"roster/ent/rules"
	"roster/internal/auth"
	"roster/internal/auth/provider"
)

// The descriptions of refused tokens.
const (
	badToken     = "the token is malformed"
	badHeader    = "the token's header is malformed"
	badParameter = "the token's header has an unsupported parameter"
	badAlgorithm = "the token's algorithm is not accepted"
	badType      = "the token's type must be at+jwt or JWT"
	badSignature = "the token's signature is invalid, or its key is unknown"
	badClaims    = "the token's claims are malformed"
	badIssuer    = "the token is from another issuer"
	badAudience  = "the token is for another audience"
	badExpiry    = "the token's exp must be a time"
	expired      = "the token has expired"
	badStart     = "the token's nbf must be a time"
	tooEarly     = "the token is not valid yet"
	badSubject   = "the token has no valid subject"
	badRoles     = "the token's roles must be a text or a list of texts"
)

// valid returns the claims of a valid token at noon.
func valid() map[string]any {
	return map[string]any{
		"iss": issuer, "aud": provider.Audience, "sub": "alice", "roles": []any{"MEMBER"}, "exp": noon().Add(time.Hour).Unix(),
	}
}

func TestClaims(t *testing.T) {
	t.Parallel()
	secret := provider.NewKey(t, "HS256", "")
	v := start(t, auth.Options{Secrets: [][]byte{secret.Secret()}, Clock: noon})
	at := func(d time.Duration) float64 { return float64(noon().Add(d).UnixMilli()) / 1000 }
	for name, c := range map[string]struct {
		claims map[string]any
		want   string // description of the refusal; empty: valid
	}{
		"valid":                         {valid(), ""},
		"sub and SUB":                   {with(valid(), "SUB", "bob"), ""},
		"SUB alone":                     {with(valid(), "SUB", "alice", "sub", absent), badSubject},
		"subject: number":               {with(valid(), "sub", 1), badSubject},
		"subject: empty":                {with(valid(), "sub", ""), badSubject},
		"subject: null":                 {with(valid(), "sub", nil), badSubject},
		"subject: 256 bytes":            {with(valid(), "sub", strings.Repeat("a", 256)), badSubject},
		"subject: NUL":                  {with(valid(), "sub", "a\x00"), badSubject},
		"issuer: absent":                {with(valid(), "iss", absent), badIssuer},
		"issuer: without its slash":     {with(valid(), "iss", strings.TrimSuffix(issuer, "/")), badIssuer},
		"issuer: upper case":            {with(valid(), "iss", strings.ToUpper(issuer)), badIssuer},
		"issuer: list":                  {with(valid(), "iss", []any{issuer}), badIssuer},
		"issuer: object":                {with(valid(), "iss", map[string]any{}), badIssuer},
		"audience: list":                {with(valid(), "aud", []any{"other", provider.Audience}), ""},
		"audience: absent":              {with(valid(), "aud", absent), badAudience},
		"audience: other":               {with(valid(), "aud", "roster2"), badAudience},
		"audience: others":              {with(valid(), "aud", []any{"a", "b"}), badAudience},
		"audience: empty list":          {with(valid(), "aud", []any{}), badAudience},
		"audience: list with a number":  {with(valid(), "aud", []any{provider.Audience, 1}), badAudience},
		"audience: object":              {with(valid(), "aud", map[string]any{provider.Audience: true}), badAudience},
		"expiry: absent":                {with(valid(), "exp", absent), badExpiry},
		"expiry: text":                  {with(valid(), "exp", "1900000000"), badExpiry},
		"expiry: null":                  {with(valid(), "exp", nil), badExpiry},
		"expiry: milliseconds":          {with(valid(), "exp", noon().UnixMilli()), badExpiry},
		"expiry: negative":              {with(valid(), "exp", -1), badExpiry},
		"expiry: within the leeway":     {with(valid(), "exp", at(-30*time.Second+time.Millisecond)), ""},
		"expiry: at its leeway's end":   {with(valid(), "exp", at(-30*time.Second)), expired},
		"start: now":                    {with(valid(), "nbf", at(0)), ""},
		"start: within the leeway":      {with(valid(), "nbf", at(30*time.Second)), ""},
		"start: later":                  {with(valid(), "nbf", at(30*time.Second+time.Millisecond)), tooEarly},
		"start: text":                   {with(valid(), "nbf", "0"), badStart},
		"roles: absent":                 {with(valid(), "roles", absent), ""},
		"roles: object":                 {with(valid(), "roles", map[string]any{"ADMIN": true}), badRoles},
		"roles: number":                 {with(valid(), "roles", 1), badRoles},
		"roles: boolean":                {with(valid(), "roles", true), badRoles},
		"roles: list with an object":    {with(valid(), "roles", []any{"MEMBER", map[string]any{}}), badRoles},
		"other claims of all kinds":     {with(valid(), "a", map[string]any{"b": []any{nil, true, 1.5}}), ""},
		"a claim of the wrong case":     {with(valid(), "EXP", "text", "Aud", 1), ""},
		"email: number":                 {with(valid(), "email", 1, "email_verified", true), ""},
		"the time of issue is no check": {with(valid(), "iat", noon().Add(time.Hour).Unix()), ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			token := secret.Token(c.claims)
			if c.want != "" {
				wantInvalid(t, v, token, c.want)
				return
			}
			wantSubject(t, v, token, "alice")
			wantSubject(t, v, token, "alice") // from the cache
		})
	}
}

// TestPayloads tests payloads that a map cannot express.
func TestPayloads(t *testing.T) {
	t.Parallel()
	secret := provider.NewKey(t, "HS256", "")
	v := start(t, auth.Options{Secrets: [][]byte{secret.Secret()}, Clock: noon})
	claims := strings.TrimPrefix(text(t, valid()), "{")
	for name, payload := range map[string]string{
		"sub twice":             `{"sub":"alice",` + claims,
		"sub twice, escaped":    `{"\u0073ub":"bob",` + claims,
		"a nested member twice": `{"a":{"b":[{"c":1,"c":1}]},` + claims,
		"broken UTF-8":          "{\"a\":\"\xff\"," + claims,
		"half a surrogate":      `{"a":"\ud800",` + claims,
		"two objects":           "{" + claims + "{}",
		"a list":                "[]",
		"null":                  "null",
		"nothing":               "",
		"very deep":             `{"a":` + strings.Repeat("[", 5000) + strings.Repeat("]", 5000) + "," + claims,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			wantInvalid(t, v, secret.Sign(`{"alg":"HS256"}`, payload), badClaims)
		})
	}
	wantInvalid(t, v, secret.Sign(`{"alg":"HS256"}`, `{"exp":1e400,`+claims), badClaims)
	wantInvalid(t, v, secret.Sign(`{"alg":"HS256"}`, strings.Replace("{"+claims, `"exp":1`, `"exp":1e400,"x":1`, 1)), badExpiry)
}

func TestHeaders(t *testing.T) {
	t.Parallel()
	secret := provider.NewKey(t, "HS256", "")
	v := start(t, auth.Options{Secrets: [][]byte{secret.Secret()}, Clock: noon})
	strict := start(t, auth.Options{Secrets: [][]byte{secret.Secret()}, Clock: noon, RequireAccessToken: true})
	const accessToken = "the token's type must be at+jwt"
	for header, want := range map[string]struct{ usual, strict string }{
		`{"alg":"HS256"}`:                                 {"", accessToken},
		`{"alg":"HS256","typ":"JWT"}`:                     {"", accessToken},
		`{"alg":"HS256","typ":"jwt"}`:                     {"", accessToken},
		`{"alg":"HS256","typ":"application/JWT"}`:         {"", accessToken},
		`{"alg":"HS256","typ":"at+jwt"}`:                  {"", ""},
		`{"alg":"HS256","typ":"AT+JWT"}`:                  {"", ""},
		`{"alg":"HS256","typ":"Application/AT+JWT"}`:      {"", ""},
		`{"alg":"HS256","typ":"logout+jwt"}`:              {badType, accessToken},
		`{"alg":"HS256","typ":""}`:                        {badType, accessToken},
		`{"alg":"HS256","typ":["JWT"]}`:                   {badType, accessToken},
		`{"alg":"HS256","typ":"at+jwt","TYP":"x"}`:        {"", ""},
		`{"alg":"HS256","typ":"at+jwt","kid":"a"}`:        {"", ""},
		`{"alg":"HS256","kid":1}`:                         {"the token's key ID must be a text", "the token's key ID must be a text"},
		`{"alg":"HS256","crit":["x"],"x":1}`:              {badParameter, badParameter},
		`{"alg":"HS256","crit":["b64"],"b64":true}`:       {badParameter, badParameter},
		`{"alg":"HS256","crit":[]}`:                       {badParameter, badParameter},
		`{"alg":"HS256","b64":false}`:                     {badParameter, badParameter},
		`{"alg":"HS256","alg":"HS256"}`:                   {badHeader, badHeader},
		`{"alg":"HS256","x":{"y":1,"y":1}}`:               {badHeader, badHeader},
		`{"alg":"none"}`:                                  {badAlgorithm, badAlgorithm},
		`{"alg":"None"}`:                                  {badAlgorithm, badAlgorithm},
		`{"alg":"hs256"}`:                                 {badAlgorithm, badAlgorithm},
		`{"alg":"HS512"}`:                                 {badAlgorithm, badAlgorithm},
		`{"alg":"ES256"}`:                                 {badAlgorithm, badAlgorithm},
		`{"alg":["HS256"]}`:                               {badAlgorithm, badAlgorithm},
		`{"alg":null}`:                                    {badAlgorithm, badAlgorithm},
		`{"ALG":"HS256"}`:                                 {badAlgorithm, badAlgorithm},
		`{}`:                                              {badAlgorithm, badAlgorithm},
		`null`:                                            {badHeader, badHeader},
		``:                                                {badHeader, badHeader},
		`{"alg":"HS256","typ":"at+jwt","jku":"http://x"}`: {"", ""},
		`{"alg":"HS256","jwk":{"kty":"oct","k":"AAAA"}}`:  {badToken, accessToken},
	} {
		t.Run(header, func(t *testing.T) {
			t.Parallel()
			token := secret.Sign(header, text(t, valid()))
			for v, want := range map[*auth.Verifier]string{v: want.usual, strict: want.strict} {
				if want == "" {
					wantSubject(t, v, token, "alice")
				} else {
					wantInvalid(t, v, token, want)
				}
			}
		})
	}
}

func TestForm(t *testing.T) {
	t.Parallel()
	secret := provider.NewKey(t, "HS256", "")
	v := start(t, auth.Options{Secrets: [][]byte{secret.Secret()}, Clock: noon})
	token := secret.Token(valid())
	header, rest, _ := strings.Cut(token, ".")
	payload, signature, _ := strings.Cut(rest, ".")
	for name, c := range map[string]struct{ token, want string }{
		"empty":           {"", badToken},
		"one part":        {header, badToken},
		"two parts":       {header + "." + payload, badToken},
		"four parts":      {token + ".", badToken},
		"no signature":    {header + "." + payload + ".", badSignature},
		"no payload":      {header + ".." + signature, badSignature},
		"a padded part":   {header + "." + payload + "=." + signature, badToken},
		"a line break":    {header + "." + payload + ".\n" + signature, badToken},
		"a blank":         {token + " ", badToken},
		"JSON":            {`{"payload":"` + payload + `","protected":"` + header + `","signature":"` + signature + `"}`, badToken},
		"another payload": {header + "." + strings.ToUpper(payload) + "." + signature, badSignature},
		// The last character has two bits that the signature does not need.
		"another spelling":    {header + "." + payload + "." + signature[:42] + next(signature[42:]), badToken},
		"a cut signature":     {token[:len(token)-3], badSignature},
		"16 KiB":              {secret.Token(with(valid(), "a", strings.Repeat("a", 11_900))), ""},
		"more than 16 KiB":    {secret.Token(with(valid(), "a", strings.Repeat("a", 12_200))), "the token is too long"},
		"a mebibyte":          {strings.Repeat("a", 1<<20), "the token is too long"},
		"an encrypted token":  {"eyJhbGciOiJIUzI1NiJ9.a.b.c.d", badToken},
		"another secret's":    {provider.NewKey(t, "HS256", "").Token(valid()), badSignature},
		"a Unicode character": {token + "é", badToken},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if c.want == "" {
				wantSubject(t, v, c.token, "alice")
				return
			}
			wantInvalid(t, v, c.token, c.want)
		})
	}
}

// next returns the character of base64url after c, whose last two bits are 0.
func next(c string) string {
	const digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	return digits[strings.Index(digits, c)+1:][:1]
}

func TestTwoSecrets(t *testing.T) {
	t.Parallel()
	current, next := provider.NewKey(t, "HS256", ""), provider.NewKey(t, "HS256", "")
	both := start(t, auth.Options{Secrets: [][]byte{current.Secret(), next.Secret()}, Clock: noon})
	later := start(t, auth.Options{Secrets: [][]byte{next.Secret()}, Clock: noon})
	wantSubject(t, both, current.Token(valid()), "alice")
	wantSubject(t, both, next.Token(valid()), "alice")
	wantSubject(t, later, next.Token(valid()), "alice")
	wantInvalid(t, later, current.Token(valid()), badSignature)
}

// TestCachedTokenExpires checks that the cache does not outlive a token.
func TestCachedTokenExpires(t *testing.T) {
	t.Parallel()
	now := noon()
	secret := provider.NewKey(t, "HS256", "")
	v := start(t, auth.Options{Secrets: [][]byte{secret.Secret()}, Clock: func() time.Time { return now }})
	token := secret.Token(valid())
	claims, err := v.Verify(t.Context(), token)
	if want := noon().Add(time.Hour + 30*time.Second); err != nil || !claims.Expires.Equal(want) {
		t.Fatalf("got %v, %v, want %v", claims.Expires, err, want)
	}
	now = claims.Expires.Add(-1)
	wantSubject(t, v, token, "alice")
	now = claims.Expires
	wantInvalid(t, v, token, expired)
}

// TestCacheIsBounded checks that valid tokens are in the cache, and that it does not grow for ever.
func TestCacheIsBounded(t *testing.T) {
	t.Parallel()
	secret := provider.NewKey(t, "HS256", "")
	v := start(t, auth.Options{Secrets: [][]byte{secret.Secret()}, Clock: noon})
	wantInvalid(t, v, secret.Token(with(valid(), "exp", 0)), expired)
	for i := range 10_001 {
		if i < 2 && v.Cached() != i {
			t.Errorf("got %d tokens in the cache, want %d", v.Cached(), i)
		}
		wantSubject(t, v, secret.Token(with(valid(), "jti", i)), "alice")
	}
	if v.Cached() != 10_000 {
		t.Errorf("got %d tokens in the cache, want 10000", v.Cached())
	}
}

func TestRoles(t *testing.T) {
	t.Parallel()
	secret := provider.NewKey(t, "HS256", "")
	staff := map[string]rules.Role{"staff-admins": rules.Admin, "boss": rules.Admin, "staff": rules.Member}
	for name, c := range map[string]struct {
		options auth.Options
		roles   any
		want    []rules.Role
	}{
		"both":                  {auth.Options{}, []any{"MEMBER", "ADMIN"}, []rules.Role{rules.Member, rules.Admin}},
		"twice":                 {auth.Options{}, []any{"ADMIN", "ADMIN"}, []rules.Role{rules.Admin}},
		"text":                  {auth.Options{}, "ADMIN", []rules.Role{rules.Admin}},
		"text of two":           {auth.Options{}, "ADMIN MEMBER", nil},
		"other case":            {auth.Options{}, []any{"admin", "Member", "ADMIN "}, nil},
		"unknown":               {auth.Options{}, []any{"ROOT"}, nil},
		"empty":                 {auth.Options{}, []any{}, nil},
		"null":                  {auth.Options{}, nil, nil},
		"mapped":                {auth.Options{RoleMap: staff}, []any{"boss", "staff-admins", "staff"}, []rules.Role{rules.Admin, rules.Member}},
		"unmapped":              {auth.Options{RoleMap: staff}, []any{"ADMIN", "MEMBER"}, nil},
		"default":               {auth.Options{DefaultRole: rules.Member}, absent, []rules.Role{rules.Member}},
		"default for unknown":   {auth.Options{DefaultRole: rules.Member}, []any{"ROOT"}, []rules.Role{rules.Member}},
		"default does not add":  {auth.Options{DefaultRole: rules.Member}, []any{"ADMIN"}, []rules.Role{rules.Admin}},
		"default with the map":  {auth.Options{DefaultRole: rules.Member, RoleMap: staff}, []any{"ADMIN"}, []rules.Role{rules.Member}},
		"a name of the default": {auth.Options{DefaultRole: rules.Member}, []any{"MEMBER"}, []rules.Role{rules.Member}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c.options.Secrets, c.options.Clock = [][]byte{secret.Secret()}, noon
			claims, err := start(t, c.options).Verify(t.Context(), secret.Token(with(valid(), "roles", c.roles)))
			if err != nil || !reflect.DeepEqual(claims.Roles, c.want) {
				t.Errorf("got %v, %v, want %v", claims.Roles, err, c.want)
			}
		})
	}
}

func TestPointers(t *testing.T) {
	t.Parallel()
	secret := provider.NewKey(t, "HS256", "")
	claims := with(
		valid(), "roles", absent, "sub", absent,
		"realm_access", map[string]any{"roles": []any{"ADMIN"}},
		"cognito:groups", []any{"ADMIN"},
		"https://example.com/roles", "ADMIN",
		"a~b", []any{map[string]any{"": "ADMIN"}},
		"a~1b", "ADMIN",
		"sub", "alice",
	)
	for roles, found := range map[string]bool{
		"/realm_access/roles":           true,
		"/cognito:groups":               true,
		"/https:~1~1example.com~1roles": true,
		"/a~0b/0/":                      true,
		"/a~01b":                        true,
		"/a~0b/00/":                     false,
		"/a~0b/-/":                      false,
		"/a~0b/1/":                      false,
		"/a~0b/-1/":                     false,
		"/realm_access/ROLES":           false,
		"/realm_access/roles/x":         false,
		"/sub/x":                        false,
		"/":                             false,
	} {
		t.Run(roles, func(t *testing.T) {
			t.Parallel()
			v := start(t, auth.Options{Secrets: [][]byte{secret.Secret()}, Clock: noon, RolesClaim: roles})
			got, err := v.Verify(t.Context(), secret.Token(claims))
			if err != nil || (len(got.Roles) == 1) != found {
				t.Errorf("got %v, %v, want a role: %t", got.Roles, err, found)
			}
		})
	}
	v := start(t, auth.Options{Secrets: [][]byte{secret.Secret()}, Clock: noon, SubjectClaim: "/user/id"})
	wantSubject(t, v, secret.Token(with(valid(), "user", map[string]any{"id": "u1"})), "u1")
	wantInvalid(t, v, secret.Token(valid()), badSubject)
	wantInvalid(t, v, secret.Token(with(valid(), "user", map[string]any{"id": "u1"}, "sub", absent)), badSubject)
}

func TestEmail(t *testing.T) {
	t.Parallel()
	secret := provider.NewKey(t, "HS256", "")
	v := start(t, auth.Options{Secrets: [][]byte{secret.Secret()}, Clock: noon})
	for name, c := range map[string]struct {
		email, verified any
		want            string
	}{
		"verified":      {"Alice@example.com", true, "Alice@example.com"},
		"not verified":  {"alice@example.com", false, ""},
		"absent":        {"alice@example.com", absent, ""},
		"text":          {"alice@example.com", "true", ""},
		"number":        {"alice@example.com", 1, ""},
		"no text":       {[]any{"alice@example.com"}, true, ""},
		"much too long": {strings.Repeat("a", 481), true, ""},
		"NUL":           {"alice\x00@example.com", true, ""},
	} {
		claims, err := v.Verify(t.Context(), secret.Token(with(valid(), "email", c.email, "email_verified", c.verified)))
		if err != nil || claims.Email != c.want {
			t.Errorf("%s: got %q, %v, want %q", name, claims.Email, err, c.want)
		}
	}
}

// TestRefusalsAreQuoted checks that a token cannot write lines of the log or headers of an answer.
func TestRefusalsAreQuoted(t *testing.T) {
	t.Parallel()
	const evil = "a\r\nSet-Cookie: a=b\x1b[2J\u2028" + `"\`
	secret := provider.NewKey(t, "HS256", "")
	v := start(t, auth.Options{Secrets: [][]byte{secret.Secret()}, Clock: noon})
	tokens := []string{evil, strings.Repeat(evil, 1000)}
	for _, name := range []string{"alg", "kid", "typ", "jwk"} {
		tokens = append(tokens, secret.Sign(text(t, map[string]any{"alg": "HS256", name: evil}), text(t, valid())))
		tokens = append(tokens, secret.Sign(text(t, map[string]any{"alg": "HS256", name: []any{evil}}), text(t, valid())))
	}
	for _, name := range []string{"iss", "aud", "exp", "nbf", "sub", "roles"} {
		tokens = append(tokens, secret.Token(with(valid(), name, map[string]any{evil: evil})))
		tokens = append(tokens, secret.Token(with(valid(), name, []any{evil, 1})))
	}
	_, keyErr := auth.ParseAPIKey(auth.APIKeyPrefix + evil)
	_, bearerErr := auth.Bearer(evil)
	errs := []error{keyErr, bearerErr}
	for _, token := range tokens {
		claims, err := v.Verify(t.Context(), token)
		if err == nil && claims.Subject == "alice" {
			continue // kid is not used by secrets
		}
		errs = append(errs, err)
	}
	for _, err := range errs {
		var invalid *auth.InvalidError
		if !errors.As(err, &invalid) {
			t.Fatalf("got %v, want an InvalidError", err)
		}
		for _, r := range invalid.Error() {
			if r < ' ' || r > '~' {
				t.Errorf("%q: got the character %q, want printable ASCII", invalid, r)
			}
		}
		if strings.ContainsAny(invalid.Description, `"\`) || strings.Contains(invalid.Description, "Cookie") {
			t.Errorf("got the description %q, want a text without quotes that repeats nothing", invalid.Description)
		}
		if len(invalid.Error()) > 500 {
			t.Errorf("got %d bytes, want a short error", len(invalid.Error()))
		}
	}

	claims, err := v.Verify(t.Context(), secret.Token(with(valid(), "sub", evil)))
	if err != nil || claims.Subject != evil {
		t.Fatalf("got %q, %v, want the subject as the token has it", claims.Subject, err)
	}
	var log bytes.Buffer
	for _, logger := range []*slog.Logger{slog.New(slog.NewTextHandler(&log, nil)), slog.New(slog.NewJSONHandler(&log, nil))} {
		log.Reset()
		logger.Info("hello", "subject", claims.Subject, "claims", claims)
		if strings.Count(log.String(), "\n") != 1 || strings.ContainsAny(log.String(), "\r\x1b") {
			t.Errorf("got %q, want one line", log.String())
		}
	}
}

func TestOptions(t *testing.T) {
	t.Parallel()
	secret := []byte(strings.Repeat("s", 32))
	for name, c := range map[string]struct {
		options auth.Options
		want    string // in the error; empty: none
	}{
		"keys only":             {auth.Options{APIKeysOnly: true}, ""},
		"a secret":              {auth.Options{Secrets: [][]byte{secret}, Issuer: "a", Audience: "b"}, ""},
		"an address":            {auth.Options{KeysURL: "https://a.example/keys?x", Issuer: "a", Audience: "b"}, ""},
		"a loopback address":    {auth.Options{KeysURL: "http://[::1]:1/keys", Issuer: "a", Audience: "b"}, ""},
		"discovery":             {auth.Options{Discovery: true, Issuer: "https://a.example/x/", Audience: "b"}, ""},
		"no mode":               {auth.Options{Issuer: "a", Audience: "b"}, "set exactly one of --auth-keys-only"},
		"two modes":             {auth.Options{APIKeysOnly: true, Discovery: true, Issuer: "https://a.example", Audience: "b"}, "set exactly one"},
		"secret and address":    {auth.Options{Secrets: [][]byte{secret}, KeysURL: "https://a.example", Issuer: "a", Audience: "b"}, "set exactly one"},
		"three secrets":         {auth.Options{Secrets: [][]byte{secret, secret, secret}, Issuer: "a", Audience: "b"}, "at most two secrets"},
		"a short secret":        {auth.Options{Secrets: [][]byte{secret, secret[1:]}, Issuer: "a", Audience: "b"}, "32 bytes or more, not 31"},
		"no issuer":             {auth.Options{Secrets: [][]byte{secret}, Audience: "b"}, "--auth-issuer"},
		"a long issuer":         {auth.Options{Secrets: [][]byte{secret}, Issuer: strings.Repeat("a", 256), Audience: "b"}, "--auth-issuer"},
		"no audience":           {auth.Options{Secrets: [][]byte{secret}, Issuer: "a"}, "--auth-audience"},
		"http":                  {auth.Options{KeysURL: "http://a.example/keys", Issuer: "a", Audience: "b"}, "--auth-jwks-url"},
		"http and localhost.x":  {auth.Options{KeysURL: "http://localhost.x/keys", Issuer: "a", Audience: "b"}, "--auth-jwks-url"},
		"a file":                {auth.Options{KeysURL: "file:///etc/passwd", Issuer: "a", Audience: "b"}, "--auth-jwks-url"},
		"a broken address":      {auth.Options{KeysURL: "https://a.example/\x7f", Issuer: "a", Audience: "b"}, "--auth-jwks-url"},
		"discovery of a name":   {auth.Options{Discovery: true, Issuer: "a", Audience: "b"}, "--auth-issuer"},
		"a wrong role":          {auth.Options{APIKeysOnly: true, RoleMap: map[string]rules.Role{"a": "ROOT"}}, "--auth-role-map"},
		"a wrong default":       {auth.Options{APIKeysOnly: true, DefaultRole: "ROOT"}, "--auth-default-role"},
		"a name as the pointer": {auth.Options{APIKeysOnly: true, RolesClaim: "roles"}, "--auth-roles-claim must be a JSON Pointer such as /roles"},
		"a broken escape":       {auth.Options{APIKeysOnly: true, SubjectClaim: "/a~2"}, "--auth-subject-claim must be a JSON Pointer such as /sub"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := auth.New(c.options)
			if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
			if err != nil && strings.Contains(err.Error(), "sss") {
				t.Errorf("got %v, want an error without the secret", err)
			}
		})
	}
}

func TestAPIKeysOnly(t *testing.T) {
	t.Parallel()
	v := start(t, auth.Options{APIKeysOnly: true})
	wantInvalid(t, v, provider.NewKey(t, "HS256", "").Token(valid()), "the server accepts API keys only")
}

// TestKeyModeRefusesSecrets tests the confusion of a public key with a secret.
func TestKeyModeRefusesSecrets(t *testing.T) {
	t.Parallel()
	key := provider.NewKey(t, "RS256", "key 1")
	p := provider.New(t, key)
	v := start(t, auth.Options{KeysURL: p.KeysURL, Issuer: p.Issuer})
	wantSubject(t, v, p.Token("alice"), "alice")
	private, ok := key.Private.(*rsa.PrivateKey)
	if !ok {
		t.Fatalf("got %T, want an RSA key", key.Private)
	}
	der, err := x509.MarshalPKIXPublicKey(private.Public())
	if err != nil {
		t.Fatal(err)
	}
	for name, secret := range map[string][]byte{
		"modulus": private.N.Bytes(), "DER": der, "PEM": pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}),
		"JWK": []byte(text(t, key.Public())),
	} {
		forged := provider.Key{ID: "key 1", Algorithm: "HS256", Private: secret}
		t.Run(name, func(t *testing.T) { wantInvalid(t, v, forged.Token(p.Claims("alice", "ADMIN")), badAlgorithm) })
	}
	none := provider.Key{Algorithm: "none"}
	wantInvalid(t, v, none.Token(p.Claims("alice", "ADMIN")), badAlgorithm)
	// A key in the header of a token is not used.
	own := provider.NewKey(t, "ES256", "key 1")
	header := text(t, map[string]any{"alg": "ES256", "kid": "key 1", "jwk": own.Public()})
	wantInvalid(t, v, own.Sign(header, text(t, p.Claims("alice", "ADMIN"))), badSignature)
	if p.Fetches() != 1 {
		t.Errorf("got %d fetches, want 1", p.Fetches())
	}
}
