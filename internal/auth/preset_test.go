package auth_test

import (
	"crypto/rand"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"roster/ent/rules"
	"roster/internal/auth"
	"roster/internal/auth/provider"
)

// issuers has an issuer of each preset.
func issuers() map[string]string {
	return map[string]string{
		"keycloak": "https://id.example.com/realms/acme",
		"entra":    "https://login.microsoftonline.com/" + provider.Tenant + "/v2.0",
		"zitadel":  "https://acme.zitadel.example.com",
		"auth0":    "https://acme.eu.auth0.example.com/",
	}
}

// startPreset returns a running Verifier with a preset and a secret.
func startPreset(t testing.TB, preset string, secret *provider.Key, o auth.Options) *auth.Verifier {
	t.Helper()
	o.Preset, o.Issuer, o.Secrets, o.Clock = preset, issuers()[preset], [][]byte{secret.Secret()}, noon
	return start(t, o)
}

// TestPresets verifies tokens that are shaped as the providers document, with the preset of each provider. Only its access
// tokens are accepted, even if the provider gave all of them to this audience.
func TestPresets(t *testing.T) {
	t.Parallel()
	secret := provider.NewKey(t, "HS256", "")
	if names := auth.PresetNames(); !slices.Equal(names, []string{"keycloak", "entra", "zitadel", "auth0"}) {
		t.Fatalf("got %v, want four presets", names)
	}
	for _, preset := range auth.PresetNames() {
		v := startPreset(t, preset, secret, auth.Options{})
		refusal := "the token is not an access token of the preset " + preset
		for _, other := range auth.PresetNames() {
			for _, d := range provider.Documents(other, v.Issuer, noon(), "ADMIN") {
				t.Run(preset+"/"+other+" "+d.Name, func(t *testing.T) {
					t.Parallel()
					token := secret.SignDocument(d)
					if other != preset || !d.Access {
						wantInvalid(t, v, token, refusal)
						return
					}
					claims, err := v.Verify(t.Context(), token)
					if err != nil || !slices.Equal(claims.Roles, []rules.Role{rules.Admin}) || claims.Subject == "" || claims.Issuer != v.Issuer {
						t.Errorf("got %+v, %v, want an ADMIN", claims, err)
					}
				})
			}
		}
		t.Run(preset+"/a token of no provider", func(t *testing.T) {
			t.Parallel()
			wantInvalid(t, v, secret.Token(with(valid(), "iss", v.Issuer)), refusal)
		})
	}
}

// user returns the first token of the documents of a preset, with other claims.
func user(v *auth.Verifier, pairs ...any) provider.Document {
	d := provider.Documents(v.Preset, v.Issuer, noon(), "ADMIN", "other")[0]
	d.Claims = with(d.Claims, pairs...)
	return d
}

// TestPresetClaims tests which claims a preset reads, and that explicit ones count.
func TestPresetClaims(t *testing.T) {
	t.Parallel()
	secret := provider.NewKey(t, "HS256", "")
	for name, c := range map[string]struct {
		preset  string
		options auth.Options
		change  []any
		subject string
		roles   []rules.Role
		email   string
	}{
		"keycloak": {preset: "keycloak", subject: "36fa0f91-f94d-4a0c-afed-6b7d952e47da", roles: []rules.Role{rules.Admin}, email: "ada@example.com"},
		"keycloak, explicit claims": {
			preset: "keycloak", options: auth.Options{SubjectClaim: "/preferred_username", RolesClaim: "/resource_access/account/roles", RoleMap: map[string]rules.Role{"view-profile": rules.Member}},
			subject: "ada", roles: []rules.Role{rules.Member}, email: "ada@example.com",
		},
		"keycloak, no roles": {preset: "keycloak", change: []any{"realm_access", absent}, subject: "36fa0f91-f94d-4a0c-afed-6b7d952e47da", email: "ada@example.com"},
		"entra":              {preset: "entra", subject: "6b1c8f2e-3a4d-4e5f-8a9b-0c1d2e3f4a5b", roles: []rules.Role{rules.Admin}},
		"entra, email":       {preset: "entra", change: []any{"email_verified", true}, subject: "6b1c8f2e-3a4d-4e5f-8a9b-0c1d2e3f4a5b", roles: []rules.Role{rules.Admin}},
		"entra, sub":         {preset: "entra", options: auth.Options{SubjectClaim: "/sub"}, subject: "x0Zk3vQ8pW2yT7uR5sN1mL4kJ6hG9fD", roles: []rules.Role{rules.Admin}},
		"entra, hasgroups is false": {
			preset: "entra", change: []any{"hasgroups", false, "_claim_names", nil}, subject: "6b1c8f2e-3a4d-4e5f-8a9b-0c1d2e3f4a5b", roles: []rules.Role{rules.Admin},
		},
		"zitadel": {preset: "zitadel", subject: "170848145649959169", roles: []rules.Role{rules.Admin}},
		"zitadel, a project": {
			preset: "zitadel", options: auth.Options{RolesClaim: "/urn:zitadel:iam:org:project:170086824411201793:roles"},
			subject: "170848145649959169", roles: []rules.Role{rules.Admin},
		},
		"zitadel, a machine": {
			preset: "zitadel", options: auth.Options{RolesClaim: "/urn:zitadel:iam:org:project:170086824411201793:roles"},
			change: []any{"urn:zitadel:iam:org:project:roles", absent}, subject: "170848145649959169", roles: []rules.Role{rules.Admin},
		},
		"zitadel, a list": {preset: "zitadel", change: []any{"urn:zitadel:iam:org:project:roles", []any{"MEMBER"}}, subject: "170848145649959169", roles: []rules.Role{rules.Member}},
		"auth0":           {preset: "auth0", subject: "auth0|6553da60a54af58e29493993", roles: []rules.Role{rules.Admin}},
		"auth0, a namespace": {
			preset: "auth0", options: auth.Options{RolesClaim: "/https:~1~1acme.example.com~1roles"}, change: []any{"https://acme.example.com/roles", []any{"MEMBER"}},
			subject: "auth0|6553da60a54af58e29493993", roles: []rules.Role{rules.Member},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v := startPreset(t, c.preset, secret, c.options)
			claims, err := v.Verify(t.Context(), secret.SignDocument(user(v, c.change...)))
			if err != nil || claims.Subject != c.subject || !slices.Equal(claims.Roles, c.roles) || claims.Email != c.email {
				t.Errorf("got %+v, %v, want %s, %v, %q", claims, err, c.subject, c.roles, c.email)
			}
		})
	}
}

// TestPresetRefusals tests claims of wrong forms.
func TestPresetRefusals(t *testing.T) {
	t.Parallel()
	secret := provider.NewKey(t, "HS256", "")
	const roles, shape = "urn:zitadel:iam:org:project:roles", "the token is not an access token of the preset "
	for name, c := range map[string]struct {
		preset string
		change []any
		want   string
	}{
		"keycloak, typ is a list":    {"keycloak", []any{"typ", []any{"Bearer"}}, shape + "keycloak"},
		"keycloak, roles: object":    {"keycloak", []any{"realm_access", map[string]any{"roles": map[string]any{"ADMIN": map[string]any{}}}}, badRoles},
		"entra, ver is a number":     {"entra", []any{"ver", 2.0}, shape + "entra"},
		"entra, no tid":              {"entra", []any{"tid", absent}, shape + "entra"},
		"entra, tid is null":         {"entra", []any{"tid", nil}, shape + "entra"},
		"entra, marks are no texts":  {"entra", []any{"azp", 1, "azpacr", []any{}, "scp", ""}, shape + "entra"},
		"entra, no oid":              {"entra", []any{"oid", absent}, badSubject},
		"zitadel, roles: booleans":   {"zitadel", []any{roles, map[string]any{"ADMIN": true}}, badRoles},
		"zitadel, roles: one null":   {"zitadel", []any{roles, map[string]any{"ADMIN": map[string]any{}, "x": nil}}, badRoles},
		"zitadel, roles: texts":      {"zitadel", []any{roles, map[string]any{"ADMIN": "MEMBER"}}, badRoles},
		"zitadel, roles: number":     {"zitadel", []any{roles, 1}, badRoles},
		"zitadel, jti is a number":   {"zitadel", []any{"jti", 1}, shape + "zitadel"},
		"auth0, sub of another form": {"auth0", []any{"sub", "ada"}, shape + "auth0"},
		"auth0, no sub":              {"auth0", []any{"sub", absent}, shape + "auth0"},
		"auth0, roles: object":       {"auth0", []any{"permissions", map[string]any{"ADMIN": map[string]any{}}}, badRoles},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v := startPreset(t, c.preset, secret, auth.Options{})
			wantInvalid(t, v, secret.SignDocument(user(v, c.change...)), c.want)
		})
	}
}

// TestOverage tests that a token with left out groups is refused as valid credentials, and only with entra.
func TestOverage(t *testing.T) {
	t.Parallel()
	secret := provider.NewKey(t, "HS256", "")
	v := startPreset(t, "entra", secret, auth.Options{DefaultRole: rules.Member})
	changes := provider.Overage()
	for _, value := range []any{"groups", []any{}, map[string]any{}, true, 1} {
		changes = append(changes, map[string]any{"_claim_names": value}, map[string]any{"hasgroups": value})
	}
	for _, change := range changes {
		d := user(v)
		for name, value := range change {
			d.Claims = with(d.Claims, name, value)
		}
		claims, err := v.Verify(t.Context(), secret.SignDocument(d))
		forbidden, ok := errors.AsType[*auth.ForbiddenError](err)
		if !ok || !strings.Contains(forbidden.Reason, "overage") || strings.Contains(forbidden.Description, "claim") {
			t.Errorf("%v: got %+v, %v, want a ForbiddenError", change, claims, err)
		}
		d.Claims = with(d.Claims, "exp", noon().Add(-time.Hour).Unix())
		wantInvalid(t, v, secret.SignDocument(d), expired) // an invalid token is not worth a reason
	}
	keycloak := startPreset(t, "keycloak", secret, auth.Options{})
	wantSubject(t, keycloak, secret.SignDocument(user(keycloak, "hasgroups", true, "_claim_names", "x")), "36fa0f91-f94d-4a0c-afed-6b7d952e47da")
}

// TestPresetOptions tests the settings of presets that cannot be right, and the forms of issuers.
func TestPresetOptions(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"Keycloak", "KEYCLOAK", "keycloak ", " ", "okta", "none", "key\x1bcloak"} {
		_, err := auth.New(auth.Options{Preset: name, Discovery: true, Issuer: "https://a.example", Audience: "b"})
		if err == nil || !strings.Contains(err.Error(), "--auth-preset must be one of keycloak, entra, zitadel, auth0, not ") || strings.Contains(err.Error(), "\x1b") {
			t.Errorf("%q: got %v, want an error with the names", name, err)
		}
	}
	for _, name := range auth.PresetNames() {
		_, err := auth.New(auth.Options{Preset: name, Discovery: true, Audience: "b"})
		if err == nil || !strings.Contains(err.Error(), "--auth-issuer must be") || !strings.Contains(err.Error(), "such as https://") {
			t.Errorf("%s without an issuer: got %v, want an error with its form", name, err)
		}
		if _, err := auth.New(auth.Options{Preset: name, APIKeysOnly: true}); err != nil {
			t.Errorf("%s: got %v, want none: package config refuses it", name, err)
		}
	}
	const host = "https://id.example.com"
	for issuer, right := range map[string][]string{
		host:                            {"zitadel"},
		host + "/":                      {"auth0"},
		host + "/realms/acme":           {"keycloak"},
		host + "/auth/realms/acme":      {"keycloak"},
		host + "/realms/acme/":          {},
		host + "/realms/":               {},
		host + "/acme/v2.0":             {"entra"},
		host + "/common/v2.0":           {},
		host + "/organizations/v2.0":    {},
		host + "/consumers/v2.0":        {},
		host + "//v2.0":                 {},
		host + "/acme/":                 {},
		host + "/realms/acme?x":         {},
		"http://127.0.0.1:1/realms/a":   {"keycloak"},
		"http://127.0.0.1:1/acme/v2.0/": {"entra"},
	} {
		for _, name := range auth.PresetNames() {
			v, err := auth.New(auth.Options{Preset: name, Secrets: [][]byte{make([]byte, 32)}, Issuer: issuer, Audience: "b"})
			if err != nil {
				t.Fatal(err)
			}
			if got := v.WantIssuer() == ""; got != slices.Contains(right, name) {
				t.Errorf("%s with %s: got %v, want %v", name, issuer, got, !got)
			}
			if v.Setup() == "" {
				t.Errorf("%s: got no setup", name)
			}
		}
	}
	v := start(t, auth.Options{Discovery: true, Issuer: host})
	if v.Setup() != "" || v.WantIssuer() != "" || !v.VerifiesEmail() {
		t.Errorf("no preset: got %q, %q, %v, want nothing", v.Setup(), v.WantIssuer(), v.VerifiesEmail())
	}
}

// TestPresetMint tests that tokens of Mint have the shape of the preset, and that it refuses to make others.
func TestPresetMint(t *testing.T) {
	t.Parallel()
	secret := provider.NewKey(t, "HS256", "")
	for _, preset := range auth.PresetNames() {
		v := startPreset(t, preset, secret, auth.Options{})
		token, err := v.Mint("auth0|ada", []rules.Role{rules.Member, rules.Admin}, time.Hour, rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		claims, err := v.Verify(t.Context(), token)
		slices.Sort(claims.Roles)
		if err != nil || claims.Subject != "auth0|ada" || !slices.Equal(claims.Roles, []rules.Role{rules.Admin, rules.Member}) {
			t.Errorf("%s: got %+v, %v, want both roles", preset, claims, err)
		}
		if token, err := v.Mint("auth0|ada", nil, time.Hour, rand.Reader); err != nil {
			t.Errorf("%s without a role: got %s, %v, want a token", preset, token, err)
		}
	}
	v := startPreset(t, "auth0", secret, auth.Options{})
	if token, err := v.Mint("ada", nil, time.Hour, rand.Reader); err == nil || !strings.Contains(err.Error(), "neither | nor @clients") {
		t.Errorf("got %s, %v, want a refusal", token, err)
	}
	odd := start(t, auth.Options{Preset: "entra", Issuer: issuer, Secrets: [][]byte{secret.Secret()}, Clock: noon})
	if token, err := odd.Mint("ada", nil, time.Hour, rand.Reader); err != nil {
		t.Errorf("an issuer without a tenant: got %s, %v, want a token", token, err)
	}
}
