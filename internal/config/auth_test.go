package config_test

import (
	"maps"
	"strings"
	"testing"

	"roster/internal/config"
)

// defaults are the settings without a flag.
func defaults() config.Auth {
	return config.Auth{AuthPreset: "none", AuthDefaultRole: "none", AuthAnonymous: "none"}
}

func TestAuthEnabled(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		set   func(*config.Auth)
		hs256 bool
		on    bool
		says  string
	}{
		"nothing":        {set: func(*config.Auth) {}},
		"keys only":      {set: func(a *config.Auth) { a.AuthKeysOnly = true }, on: true},
		"a secret":       {set: func(*config.Auth) {}, hs256: true, on: true},
		"a key set":      {set: func(a *config.Auth) { a.AuthJWKSURL = "https://idp.test/keys" }, on: true},
		"discovery":      {set: func(a *config.Auth) { a.AuthDiscovery = true }, on: true},
		"a preset":       {set: func(a *config.Auth) { a.AuthPreset = "keycloak" }, on: true},
		"preset, secret": {set: func(a *config.Auth) { a.AuthPreset = "keycloak" }, hs256: true, on: true},
		"preset, keys":   {set: func(a *config.Auth) { a.AuthPreset, a.AuthKeysOnly = "keycloak", true }, says: "--auth-preset is for tokens, which --auth-keys-only refuses: leave one"},
		"all of tokens":  {set: func(a *config.Auth) { every(a) }, hs256: true, on: true},
		"anonymous":      {set: func(a *config.Auth) { a.AuthKeysOnly, a.AuthAnonymous = true, "read" }, on: true},
		"two modes":      {set: func(a *config.Auth) { a.AuthDiscovery = true }, hs256: true, says: "ROSTER_AUTH_HS256_SECRET and --auth-discovery cannot be set together"},
		"a mode of two":  {set: func(a *config.Auth) { a.AuthDiscovery, a.AuthJWKSURL = true, "https://idp.test/keys" }, says: "--auth-jwks-url and --auth-discovery"},
		"keys and token": {set: func(a *config.Auth) { a.AuthKeysOnly = true }, hs256: true, says: "--auth-keys-only and ROSTER_AUTH_HS256_SECRET"},
	} {
		a := defaults()
		test.set(&a)
		on, err := a.Enabled(test.hs256)
		if on != test.on || (err == nil) != (test.says == "") || err != nil && !strings.Contains(err.Error(), test.says) {
			t.Errorf("%s: got %v, %v, want %v, %q", name, on, err, test.on, test.says)
		}
	}
}

// TestDiscovery tests which settings find the keys by discovery.
func TestDiscovery(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		auth  config.Auth
		hs256 bool
		want  bool
	}{
		"nothing":                {},
		"no preset":              {auth: config.Auth{AuthPreset: "none"}},
		"its flag":               {auth: config.Auth{AuthDiscovery: true}, want: true},
		"a preset":               {auth: config.Auth{AuthPreset: "auth0"}, want: true},
		"a preset, its flag":     {auth: config.Auth{AuthPreset: "auth0", AuthDiscovery: true}, want: true},
		"a preset and a key set": {auth: config.Auth{AuthPreset: "auth0", AuthJWKSURL: "https://idp.test/keys"}},
		"a preset and a secret":  {auth: config.Auth{AuthPreset: "auth0"}, hs256: true},
	} {
		if got := test.auth.Discovery(test.hs256); got != test.want {
			t.Errorf("%s: got %v, want %v", name, got, test.want)
		}
	}
}

// every sets all settings of tokens.
func every(a *config.Auth) {
	a.AuthIssuer, a.AuthAudience, a.AuthSubjectClaim, a.AuthRolesClaim = "https://idp.test/", "roster", "/id", "/groups"
	a.AuthRoleMap, a.AuthDefaultRole, a.AuthRequireATJWT, a.AuthLinkByEmail = []string{"a=ADMIN"}, "MEMBER", true, true
}

// TestAuthWithoutEffect makes one setting at a time where it has no effect.
func TestAuthWithoutEffect(t *testing.T) {
	t.Parallel()
	for flag, set := range map[string]func(*config.Auth){
		"--auth-issuer":         func(a *config.Auth) { a.AuthIssuer = "https://idp.test/" },
		"--auth-audience":       func(a *config.Auth) { a.AuthAudience = "roster" },
		"--auth-subject-claim":  func(a *config.Auth) { a.AuthSubjectClaim = "/id" },
		"--auth-roles-claim":    func(a *config.Auth) { a.AuthRolesClaim = "/groups" },
		"--auth-role-map":       func(a *config.Auth) { a.AuthRoleMap = []string{"a=ADMIN"} },
		"--auth-default-role":   func(a *config.Auth) { a.AuthDefaultRole = "MEMBER" },
		"--auth-require-at-jwt": func(a *config.Auth) { a.AuthRequireATJWT = true },
		"--auth-link-by-email":  func(a *config.Auth) { a.AuthLinkByEmail = true },
		"--auth-anonymous":      func(a *config.Auth) { a.AuthAnonymous = "read" },
	} {
		a := defaults()
		set(&a)
		if on, err := a.Enabled(false); on || err == nil || !strings.HasPrefix(err.Error(), flag+" has no effect without authentication") {
			t.Errorf("%s without authentication: got %v, %v, want an error", flag, on, err)
		}
		a.AuthKeysOnly = true
		_, err := a.Enabled(false)
		if of := flag != "--auth-anonymous"; (err != nil) != of || of && !strings.HasPrefix(err.Error(), flag+" is for tokens") {
			t.Errorf("%s with --auth-keys-only: got %v, want an error except for --auth-anonymous", flag, err)
		}
	}
}

// TestFormerDefaults tests that the default claims of earlier releases may be written down anywhere.
func TestFormerDefaults(t *testing.T) {
	t.Parallel()
	for _, keysOnly := range []bool{false, true} {
		a := config.Auth{AuthKeysOnly: keysOnly, AuthSubjectClaim: "/sub", AuthRolesClaim: "/roles", AuthDefaultRole: "none", AuthAnonymous: "none"}
		if enabled, err := a.Enabled(false); err != nil || enabled != keysOnly {
			t.Errorf("API keys only %t: got %t, %v, want no error", keysOnly, enabled, err)
		}
	}
}

func TestRoleMap(t *testing.T) {
	t.Parallel()
	a := config.Auth{AuthRoleMap: []string{"staff-admins=ADMIN", "staff=MEMBER", "CN=a,OU=b=MEMBER"}}
	want := map[string]string{"staff-admins": "ADMIN", "staff": "MEMBER", "CN=a,OU=b": "MEMBER"}
	if got, err := a.RoleMap(); err != nil || !maps.Equal(got, want) {
		t.Errorf("got %v, %v, want %v", got, err, want)
	}
	for entry, says := range map[string]string{
		"staff": "not \"staff\"", "=ADMIN": "not", "ADMIN": "not", "": "not", "staff=": "not", "staff=admin": "not", "staff=OWNER": "not",
		"staff-admins=MEMBER": "twice",
	} {
		a := config.Auth{AuthRoleMap: []string{"staff-admins=ADMIN", entry}}
		if got, err := a.RoleMap(); err == nil || !strings.HasPrefix(err.Error(), "--auth-role-map ") || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: got %v, %v, want an error with %q", entry, got, err, says)
		}
	}
}

func TestDoors(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		doors          config.Doors
		authentication bool
		says           string
	}{
		"nothing":                    {},
		"no authentication":          {doors: config.Doors{InsecureNoAuth: true}},
		"production":                 {doors: config.Doors{Mode: "production"}, authentication: true},
		"hosts":                      {doors: config.Doors{AllowedHosts: []string{"roster.example.com", "localhost", "10.0.0.1", "[::1]", "xn--bcher-kva.test"}}, authentication: true},
		"TLS":                        {doors: config.Doors{TLSCert: "a", TLSKey: "b"}},
		"production, shut":           {doors: config.Doors{Mode: "production"}, says: "--mode=production requires authentication: set --auth-preset,"},
		"production, open":           {doors: config.Doors{Mode: "production", InsecureNoAuth: true}, says: "--insecure-no-auth is refused with --mode=production"},
		"open, authentication":       {doors: config.Doors{InsecureNoAuth: true}, authentication: true, says: "--insecure-no-auth is for servers without authentication"},
		"hosts, shut":                {doors: config.Doors{AllowedHosts: []string{"roster.test"}}, says: "--allowed-hosts has no effect without authentication"},
		"a certificate without key":  {doors: config.Doors{TLSCert: "a"}, says: "--tls-cert and --tls-key belong together"},
		"a key without certificate":  {doors: config.Doors{TLSKey: "a"}, says: "--tls-cert and --tls-key belong together"},
		"a host with a port":         {doors: config.Doors{AllowedHosts: []string{"roster.test:443"}}, authentication: true, says: `not "roster.test:443"`},
		"a host of all":              {doors: config.Doors{AllowedHosts: []string{"*.roster.test"}}, authentication: true, says: "--allowed-hosts must"},
		"an address of the web":      {doors: config.Doors{AllowedHosts: []string{"https://roster.test"}}, authentication: true, says: "--allowed-hosts must"},
		"a host with a path":         {doors: config.Doors{AllowedHosts: []string{"roster.test/"}}, authentication: true, says: "--allowed-hosts must"},
		"a host in upper case":       {doors: config.Doors{AllowedHosts: []string{"Roster.test"}}, authentication: true, says: "--allowed-hosts must"},
		"a host beyond ASCII":        {doors: config.Doors{AllowedHosts: []string{"bücher.test"}}, authentication: true, says: "--allowed-hosts must"},
		"a host without a name":      {doors: config.Doors{AllowedHosts: []string{""}}, authentication: true, says: "--allowed-hosts must"},
		"a host with a user":         {doors: config.Doors{AllowedHosts: []string{"a@roster.test"}}, authentication: true, says: "--allowed-hosts must"},
		"an IPv6 address, bare":      {doors: config.Doors{AllowedHosts: []string{"::1"}}, authentication: true, says: "--allowed-hosts must"},
		"an IPv6 address, long":      {doors: config.Doors{AllowedHosts: []string{"[0:0:0:0:0:0:0:1]"}}, authentication: true, says: "--allowed-hosts must"},
		"an IPv6 address, half open": {doors: config.Doors{AllowedHosts: []string{"[::1"}}, authentication: true, says: "--allowed-hosts must"},
	} {
		err := test.doors.Check(test.authentication)
		if (err == nil) != (test.says == "") || err != nil && !strings.Contains(err.Error(), test.says) {
			t.Errorf("%s: got %v, want %q", name, err, test.says)
		}
	}
}
